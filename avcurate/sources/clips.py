"""Lists of labelled clips: VGGSound, VGGSounder, AudioSet, or any table of clips and their labels.

A clip is named ``<youtube id>_<start, six digits>`` (``clip_id``), as VGGSound names its files.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from avcurate.errors import RowError, UserError
from avcurate.sources.captioning_task import caption_records, is_avhbench

CLIP_NAME = re.compile(r"^(?P<youtube>.+)_(?P<start>\d{6})(?:\.\w{2,4})?$")
MODALITIES = ("A", "V", "AV")
FLAGS = ("background_music", "static_image", "voice_over")
# fmt: off
MEDIA_ENDINGS = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ts", ".mpg", ".mpeg", ".3gp", ".ogv",
    ".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus",
))
# fmt: on


@dataclass(frozen=True)
class LabelledClip:
    """One clip and one label of it.

    Attributes:
        row: 1-based number of the row in the list.
        clip_id: ``<youtube id>_<start, six digits>``; for other lists the file's name without its ending.
        label: class name, verbatim.
        modality: ``A``, ``V`` or ``AV`` where the list says in which modality the class is present.
        flags: which of ``FLAGS`` the list sets for the clip.
        split: ``train`` or ``test`` where the list says so.
        media: the file's name where the list gives it, verbatim; else it is found by ``clip_id``.
    """

    row: int
    clip_id: str
    label: str
    modality: str | None = None
    flags: frozenset[str] = frozenset()
    split: str | None = None
    media: str | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that is not a labelled clip, for a named reason; ``clip_id`` where at least that can be read."""

    row: int
    reason: str
    message: str
    clip_id: str | None = None


Rows = Iterator[LabelledClip | BadRow]
Numbered = Iterator[tuple[int, list[str] | None]]


def _table(path: Path) -> Numbered:
    """Non-empty rows of a UTF-8 csv file, numbered from 1; ``None`` for a line that is not valid csv.

    A line is a row: an unclosed quote must not swallow the lines after it.

    Raises:
        UserError: the file is missing or is not UTF-8 text.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Give the csv file as published.")
    try:
        with path.open(encoding="utf-8-sig") as f:
            for number, line in enumerate(f, 1):
                if not line.strip():
                    continue
                try:
                    yield number, next(csv.reader([line], skipinitialspace=True, strict=True))
                except csv.Error:
                    yield number, None
    except UnicodeDecodeError as e:
        raise UserError(f"{path} is not UTF-8 text: {e}", "Give the csv file as published.") from None


def _read(
    path: Path, rows: Iterator[tuple[int, list[str] | None]], parse: Callable[[int, list[str]], list[LabelledClip]]
) -> Rows:
    """Every row through ``parse``; what it refuses is a bad row."""
    for number, row in rows:
        clip = None
        try:
            if row is None:
                raise RowError("bad_csv_row", "a quote is unclosed or misplaced")
            clip = (CLIP_NAME.match(row[0]) and _clip_id(row[0])) or None
            yield from parse(number, row)
        except RowError as e:
            yield BadRow(number, e.reason, f"{path.name} row {number}: {e.message}.", clip)


def _header(rows: Numbered) -> list[str]:
    return next(rows, (0, None))[1] or []


def read_vggsound(path: Path) -> Rows:
    """VGGSound: ``file,label`` or the release's ``youtube id,start,label,split``; no header in either."""

    def parse(number: int, row: list[str]) -> list[LabelledClip]:
        if len(row) == 2 and CLIP_NAME.match(row[0]):
            return [LabelledClip(number, _clip_id(row[0]), _filled(row[1], "label"))]
        if len(row) == 4:
            return [LabelledClip(number, clip_id(row[0], row[1]), _filled(row[2], "label"), split=row[3])]
        raise RowError("not_a_clip_row", f"{len(row)} columns, {row[0][:60]!r} first")

    return _read(path, _table(path), parse)


def read_vggsounder(path: Path) -> Rows:
    """VGGSounder 0.1.x and 1.0: several labels per clip, each with its modality, and flags of the clip.

    Raises:
        UserError: a column is missing.
    """
    rows = _table(path)
    header = _header(rows)
    at = _columns(path, header, ("video_id", "label", "modality", *FLAGS))

    def parse(number: int, row: list[str]) -> list[LabelledClip]:
        if len(row) != len(header):
            raise RowError("not_a_clip_row", f"{len(row)} columns instead of {len(header)}")
        modality = row[at["modality"]]
        if modality not in MODALITIES:
            raise RowError("modality_unknown", f"modality {modality[:20]!r} is none of A, V, AV")
        flags = frozenset(f for f in FLAGS if row[at[f]].strip().lower() == "true")
        name = _clip_id(row[at["video_id"]])
        return [LabelledClip(number, name, _filled(row[at["label"]], "label"), modality, flags)]

    return _read(path, rows, parse)


def read_audioset(path: Path, names: dict[str, str]) -> Rows:
    """AudioSet segments: ``id, start, end, "mid,mid"`` after comment lines; ``names`` maps mids to class names.

    A clip with a class that is not in the list is a bad row as a whole: what is left of it would mislead.
    """

    def parse(number: int, row: list[str]) -> list[LabelledClip]:
        if len(row) != 4:
            raise RowError("not_a_clip_row", f"{len(row)} columns instead of 4")
        name = clip_id(row[0], row[1])
        mids = [m.strip() for m in row[3].split(",")]
        if unknown := [m for m in mids if m not in names]:
            raise RowError("class_unknown", f"class {unknown[0][:40]!r} is not in the class list")
        return [LabelledClip(number, name, names[m]) for m in mids]

    # comment lines are free text
    return _read(path, ((n, r) for n, r in _table(path) if r is None or not r[0].startswith("#")), parse)


def read_classes(path: Path) -> dict[str, str]:
    """Class names by mid from a class list (``index,mid,display_name``).

    Raises:
        UserError: a column is missing.
    """
    rows = _table(path)
    header = _header(rows)
    at = _columns(path, header, ("mid", "display_name"))
    return {r[at["mid"]]: r[at["display_name"]] for _, r in rows if r is not None and len(r) == len(header)}


def read_folder_list(path: Path) -> Rows:
    """Any csv with the columns ``clip`` and ``label``: the clip's file name, and its class.

    Raises:
        UserError: a column is missing.
    """
    rows = _table(path)
    header = _header(rows)
    at = _columns(path, header, ("clip", "label"))
    files: dict[str, str] = {}

    def parse(number: int, row: list[str]) -> list[LabelledClip]:
        if len(row) != len(header):
            raise RowError("not_a_clip_row", f"{len(row)} columns instead of {len(header)}")
        name = _filled(row[at["clip"]], "clip")
        stem, dot, ending = name.rpartition(".")
        clip = stem if dot and f".{ending.lower()}" in MEDIA_ENDINGS else name
        if files.setdefault(clip, name) != name:
            raise RowError("clip_named_twice", f"{name[:80]!r} and {files[clip][:80]!r} would name the same clip")
        return [LabelledClip(number, clip, _filled(row[at["label"]], "label"), media=name)]

    return _read(path, rows, parse)


def _captioned(path: Path) -> Rows:
    for record in caption_records(path):
        value = record.value or {}
        clip, label = str(value.get("video_id") or ""), str(value.get("label") or "")
        if clip and label:
            yield LabelledClip(record.row, clip, label)
        else:
            yield BadRow(record.row, "field_empty", f"{path.name} record {record.row}: no video_id or no label.")


def read_clips(path: Path) -> Rows:
    """A clip list of any of these kinds, recognised by its first row (AudioSet needs its class list: not here).

    Of an AVHBench file, the clips of its captioning task, each with its reference as label.
    """
    if is_avhbench(path):
        return _captioned(path)
    first = _header(_table(path))
    if "clip" in first and "label" in first:
        return read_folder_list(path)
    if "video_id" in first and "modality" in first:
        return read_vggsounder(path)
    return read_vggsound(path)


def clip_id(youtube_id: str, start: str) -> str:
    """``<youtube id>_<start, six digits>`` from an id and a start in seconds.

    Raises:
        RowError: ``start_not_a_number``.
    """
    try:
        return f"{_filled(youtube_id, 'id')}_{int(float(start)):06d}"
    except (ValueError, OverflowError):
        raise RowError("start_not_a_number", f"start {start!r} is not a number of seconds") from None


def _clip_id(name: str) -> str:
    match = CLIP_NAME.match(name)
    if match is None:
        raise RowError("clip_name_unknown", f"{name[:100]!r} is not <youtube id>_<start, six digits>")
    return f"{match['youtube']}_{match['start']}"


def _filled(value: str, what: str) -> str:
    if not value.strip():
        raise RowError("field_empty", f"the {what} is empty")
    return value.strip()


def _columns(path: Path, header: list[str], wanted: tuple[str, ...]) -> dict[str, int]:
    missing = [c for c in wanted if c not in header]
    if missing:
        raise UserError(
            f"{path.name} has no column {missing[0]!r}; it has {', '.join(header[:12]) or 'none'}.",
            "Give the csv file as published.",
        )
    return {c: header.index(c) for c in wanted}
