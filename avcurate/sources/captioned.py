"""Captioned clips: AudioCaps 1.0 and 2.0, or any table of clips and what is heard and seen in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from avcurate.errors import RowError
from avcurate.sources.clips import CLIP_NAME, clip_id
from avcurate.sources.records import Record

FIELDS = ("clip", "audio_caption", "video_caption", "answer", "source", "split")
AUDIOCAPS = frozenset({"audiocap_id", "youtube_id", "start_time", "caption"})


@dataclass(frozen=True)
class Captioned:
    """What one record says about a clip; a clip may have several records.

    Attributes:
        row: 1-based number of the record.
        clip: the clip's name; ``<youtube id>_<start, six digits>`` for AudioCaps.
        source: the video it is cut from; clips of one source are never donors to each other.
        split: nor are clips of different splits; empty where there are none.
        audio: captions of the sound; video: captions of the picture.
        answers: what another sound must not say (true answers of questions on this clip).
    """

    row: int
    clip: str
    source: str
    split: str
    audio: tuple[str, ...]
    video: tuple[str, ...]
    answers: tuple[str, ...]


def read_captioned(record: Record, columns: dict[str, str]) -> Captioned:
    """One record of a caption table.

    Args:
        record: a record with a value.
        columns: column of each of ``FIELDS``; AudioCaps needs none.

    Raises:
        RowError: ``field_missing``, ``field_not_text``, ``start_not_a_number``, ``caption_missing``.
    """
    raw, where = record.value or {}, f"record {record.row}"
    if raw.keys() >= AUDIOCAPS and "clip" not in columns:
        youtube = _text(raw, "youtube_id", where)
        name = clip_id(youtube, str(raw["start_time"]))
        heard, source = _texts(raw, "caption", where), youtube
    else:
        name = _text(raw, columns.get("clip", "clip"), where)
        heard = _texts(raw, columns.get("audio_caption", "audio_caption"), where)
        stem = CLIP_NAME.match(name)
        stated = raw.get(columns.get("source", "source"))
        source = str(stated) if stated not in (None, "") else stem["youtube"] if stem else name
    seen = _texts(raw, columns.get("video_caption", "video_caption"), where)
    if not heard and not seen:
        raise RowError("caption_missing", f"{where}: {name[:80]!r} has no caption.", "Name its column with --map.")
    split = raw.get(columns.get("split", "split"))
    answers = _texts(raw, columns.get("answer", "answer"), where)
    return Captioned(record.row, name, source, "" if split is None else str(split), heard, seen, answers)


def _text(raw: dict[str, Any], key: str, where: str) -> str:
    texts = _texts(raw, key, where)
    if not texts:
        raise RowError("field_missing", f"{where} has nothing in {key!r}.", "Name the column with --map FIELD=COLUMN.")
    return texts[0]


def _texts(raw: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = raw.get(key)
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    if any(not isinstance(v, (str, int, float)) or isinstance(v, bool) for v in items):
        raise RowError("field_not_text", f"{where}: {key!r} holds a value that is not text.")
    return tuple(t for v in items if (t := " ".join(str(v).split())))
