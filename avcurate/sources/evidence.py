"""What is heard and seen in a clip, and what certainly is not: VGGSounder's labels, or any table of evidence.

Absence needs evidence as presence does. A name is absent from a modality if the record lists it as such, or if the
record says that its lists are exhaustive: then every name of the whole table that is not listed is absent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from avcurate.errors import RowError
from avcurate.sources.clips import CLIP_NAME, FLAGS, MODALITIES
from avcurate.sources.records import Record

FIELDS = (
    "clip",
    "heard",
    "seen",
    "not_heard",
    "not_seen",
    "exhaustive",
    "audio_caption",
    "video_caption",
    "events",
    "synchronised",
    "source",
)
VGGSOUNDER = frozenset({"video_id", "label", "modality"})
Exhaustive = Literal["", "audio", "video", "both"]


@dataclass(frozen=True)
class Event:
    """Something that sounds, and when, in seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Evidence:
    """What one record says about a clip; a clip may have several records.

    Attributes:
        row: 1-based number of the record.
        clip: the clip's name.
        source: the video it is cut from; clips of one source are never donors to each other.
        heard, seen: names of what is there; not_heard, not_seen: of what certainly is not.
        exhaustive: modalities in which everything that is there is listed, over all records of the clip.
        audio: captions of the sound; video: captions of the picture.
        events: what sounds when.
        synchronised: whether sound and picture visibly belong together in time.
    """

    row: int
    clip: str
    source: str
    heard: tuple[str, ...]
    seen: tuple[str, ...]
    not_heard: tuple[str, ...]
    not_seen: tuple[str, ...]
    exhaustive: Exhaustive
    audio: tuple[str, ...]
    video: tuple[str, ...]
    events: tuple[Event, ...]
    synchronised: bool


def read_evidence(record: Record, columns: dict[str, str]) -> Evidence:
    """One record.

    Args:
        record: a record with a value.
        columns: column of each of ``FIELDS``; VGGSounder's csv needs none.

    Raises:
        RowError: ``field_missing``, ``field_not_names``, ``modality_missing``, ``modality_unknown``,
            ``exhaustive_unknown``, ``event_malformed``.
    """
    raw, where = record.value or {}, f"record {record.row}"
    if raw.keys() >= VGGSOUNDER and "clip" not in columns:
        return _vggsounder(record.row, raw, where)
    at = {f: raw.get(columns.get(f, f)) for f in FIELDS}
    clip = _name(at["clip"], "clip", where)
    exhaustive = str(at["exhaustive"] or "").strip().lower()
    if exhaustive not in ("", "audio", "video", "both"):
        raise RowError(
            "exhaustive_unknown",
            f"{where}: exhaustive is {exhaustive[:40]!r}, none of audio, video, both.",
            "Leave it empty where lists may be incomplete.",
        )
    listed = {f: _names(at[f], f, where) for f in ("heard", "seen", "not_heard", "not_seen")}
    events = tuple(_event(e, where) for e in _list(at["events"], "events", where))
    heard = dict.fromkeys([*listed["heard"], *(e.name for e in events)])
    return Evidence(
        record.row,
        clip,
        str(at["source"] or "") or _source(clip),
        tuple(heard),
        listed["seen"],
        listed["not_heard"],
        listed["not_seen"],
        exhaustive,  # type: ignore[arg-type]
        _texts(at["audio_caption"], "audio_caption", where),
        _texts(at["video_caption"], "video_caption", where),
        events,
        str(at["synchronised"]).strip().lower() in ("true", "1", "yes"),
    )


def _vggsounder(row: int, raw: dict[str, Any], where: str) -> Evidence:
    """One label of VGGSounder, whose annotators went through all classes in both modalities of every clip."""
    clip, label = _name(raw["video_id"], "video_id", where), normal(_name(raw["label"], "label", where))
    modality = str(raw["modality"] or "").strip()
    if not modality:
        raise RowError(
            "modality_missing", f"{where}: the label {label!r} of {clip} says no modality.", "Leave it out, or fill it."
        )
    if modality not in MODALITIES:
        raise RowError("modality_unknown", f"{where}: modality {modality[:20]!r} is none of A, V, AV.")
    flagged = {f for f in FLAGS if str(raw.get(f, "")).strip().lower() == "true"}
    return Evidence(
        row,
        clip,
        _source(clip),
        (label,) if "A" in modality else (),
        (label,) if "V" in modality else (),
        (),
        (),
        # music or a voice laid over a clip is not among its classes
        "video" if flagged & {"background_music", "voice_over"} else "both",
        (),
        (),
        (),
        False,
    )


def normal(name: str) -> str:
    """A name in lower case with single spaces."""
    return " ".join(name.casefold().split())


def _source(clip: str) -> str:
    match = CLIP_NAME.match(clip)
    return match["youtube"] if match else clip


def _name(value: object, field: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RowError(
            "field_missing", f"{where} has nothing in {field!r}.", "Name the column with --map FIELD=COLUMN."
        )
    return value.strip()


def _list(value: object, field: str, where: str) -> list[Any]:
    """A list, or text that holds one: JSON, or names separated by semicolons."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return [v for v in value.split(";") if v.strip()]
        try:
            parsed: object = json.loads(value)
        except ValueError:
            raise RowError("field_not_names", f"{where}: {field!r} is not a list: {value[:80]!r}.") from None
        value = parsed
    if not isinstance(value, list):
        raise RowError("field_not_names", f"{where}: {field!r} is not a list of names.")
    return value


def _names(value: object, field: str, where: str) -> tuple[str, ...]:
    names = _list(value, field, where)
    if any(not isinstance(n, str) for n in names):
        raise RowError("field_not_names", f"{where}: {field!r} holds a value that is not text.")
    return tuple(dict.fromkeys(n for name in names if (n := normal(name))))


def _texts(value: object, field: str, where: str) -> tuple[str, ...]:
    values: list[Any] = value if isinstance(value, list) else [] if value in (None, "") else [value]
    if any(not isinstance(v, str) for v in values):
        raise RowError("field_not_names", f"{where}: {field!r} holds a value that is not text.")
    return tuple(t for v in values if (t := " ".join(v.split())))


def _event(value: object, where: str) -> Event:
    try:
        assert isinstance(value, dict)
        event = Event(normal(str(value["name"])), float(value["start"]), float(value["end"]))
        assert event.name and 0 <= event.start < event.end
    except (AssertionError, KeyError, TypeError, ValueError):
        raise RowError(
            "event_malformed",
            f"{where}: {str(value)[:80]!r} is no event.",
            'Events are {"name": …, "start": seconds, "end": seconds}.',
        ) from None
    return event
