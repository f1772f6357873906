"""Lists of labelled clips: VGGSound, VGGSounder, AudioSet, or any table of a clip and its label.

A clip is named ``<youtube id>_<start, six digits>`` (``clip_id``), as VGGSound names its files.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avcurate.errors import RowError, UserError

CLIP_NAME = re.compile(r"^(?P<youtube>.+)_(?P<start>\d{6})(?:\.\w{2,4})?$")
MODALITIES = ("A", "V", "AV")
FLAGS = ("background_music", "static_image", "voice_over")


@dataclass(frozen=True)
class LabelledClip:
    """One clip and one label of it.

    Attributes:
        clip_id: ``<youtube id>_<start, six digits>``; for other lists the file's name without its ending.
        label: class name, verbatim.
        modality: ``A``, ``V`` or ``AV`` where the list says in which modality the class is present.
        flags: which of ``FLAGS`` the list sets for the clip.
        split: ``train`` or ``test`` where the list says so.
    """

    clip_id: str
    label: str
    modality: str | None = None
    flags: frozenset[str] = frozenset()
    split: str | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that is no labelled clip, for a named reason."""

    row: int
    reason: str
    message: str


Rows = Iterator[LabelledClip | BadRow]


def _table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Non-empty rows of a UTF-8 csv file, numbered from 1.

    Raises:
        UserError: the file is missing or is not UTF-8 text.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Give the csv file as published.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as f:
            yield from ((i, r) for i, r in enumerate(csv.reader(f, skipinitialspace=True), 1) if r)
    except UnicodeDecodeError as e:
        raise UserError(f"{path} is not UTF-8 text: {e}", "Give the csv file as published.") from None


def read_vggsound(path: Path) -> Rows:
    """VGGSound: ``file,label`` or the release's ``youtube id,start,label,split``; no header in either."""
    for number, row in _table(path):
        try:
            if len(row) == 2 and CLIP_NAME.match(row[0]):
                yield LabelledClip(_clip_id(row[0]), _filled(row[1], "label"))
            elif len(row) == 4:
                yield LabelledClip(clip_id(row[0], row[1]), _filled(row[2], "label"), split=row[3])
            else:
                raise RowError("not_a_clip_row", f"{len(row)} columns, {row[0]!r} first")
        except RowError as e:
            yield BadRow(number, e.reason, f"{path.name} row {number}: {e.message}.")


def read_vggsounder(path: Path) -> Rows:
    """VGGSounder 0.1.x and 1.0: several labels a clip, each with its modality, and flags of the clip.

    Raises:
        UserError: a column is missing.
    """
    rows = _table(path)
    header = next(rows, (0, []))[1]
    at = _columns(path, header, ("video_id", "label", "modality", *FLAGS))
    for number, row in rows:
        try:
            if len(row) != len(header):
                raise RowError("not_a_clip_row", f"{len(row)} columns instead of {len(header)}")
            modality = row[at["modality"]]
            if modality not in MODALITIES:
                raise RowError("modality_unknown", f"modality {modality!r} is none of A, V, AV")
            flags = frozenset(f for f in FLAGS if row[at[f]].strip().lower() == "true")
            yield LabelledClip(_clip_id(row[at["video_id"]]), _filled(row[at["label"]], "label"), modality, flags)
        except RowError as e:
            yield BadRow(number, e.reason, f"{path.name} row {number}: {e.message}.")


def read_audioset(path: Path, names: dict[str, str]) -> Rows:
    """AudioSet segments: ``id, start, end, "mid,mid"`` after comment lines; ``names`` maps mids to class names."""
    for number, row in _table(path):
        if row[0].startswith("#"):
            continue
        try:
            if len(row) != 4:
                raise RowError("not_a_clip_row", f"{len(row)} columns instead of 4")
            name = clip_id(row[0], row[1])
            for mid in row[3].split(","):
                if mid.strip() not in names:
                    raise RowError("class_unknown", f"class {mid.strip()!r} is not in the class list")
                yield LabelledClip(name, names[mid.strip()])
        except RowError as e:
            yield BadRow(number, e.reason, f"{path.name} row {number}: {e.message}.")


def read_classes(path: Path) -> dict[str, str]:
    """Class names by mid from a class list (``index,mid,display_name``).

    Raises:
        UserError: a column is missing.
    """
    rows = _table(path)
    header = next(rows, (0, []))[1]
    at = _columns(path, header, ("mid", "display_name"))
    return {r[at["mid"]]: r[at["display_name"]] for _, r in rows if len(r) == len(header)}


def read_folder_list(path: Path) -> Rows:
    """Any csv with the columns ``clip`` and ``label``: the clip's file name, and its class.

    Raises:
        UserError: a column is missing.
    """
    rows = _table(path)
    header = next(rows, (0, []))[1]
    at = _columns(path, header, ("clip", "label"))
    for number, row in rows:
        try:
            if len(row) != len(header):
                raise RowError("not_a_clip_row", f"{len(row)} columns instead of {len(header)}")
            name = _filled(row[at["clip"]], "clip")
            stem = re.sub(r"\.\w{2,4}$", "", name)
            yield LabelledClip(stem, _filled(row[at["label"]], "label"))
        except RowError as e:
            yield BadRow(number, e.reason, f"{path.name} row {number}: {e.message}.")


def read_clips(path: Path) -> Rows:
    """A clip list of any of these kinds, told by its first row (AudioSet needs its class list: not here)."""
    first = next(_table(path), (0, []))[1]
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
    found = CLIP_NAME.match(name)
    if found is None:
        raise RowError("clip_name_unknown", f"{name[:100]!r} is not <youtube id>_<start, six digits>")
    return f"{found['youtube']}_{found['start']}"


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
