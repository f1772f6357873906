"""AVHBench's fourth task, AV Captioning: clips to describe in one sentence, and the captions that people wrote."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.sources.records import Record, read_records

FIELDS = frozenset({"video_id", "task", "text", "label"})


def is_avhbench(path: Path) -> bool:
    """Whether a file's first record has AVHBench's fields."""
    if path.suffix.lower() not in (".json", ".jsonl") or not path.is_file():
        return False
    first = next(islice(read_records(path, salvage=True), 1), None)
    return first is not None and first.value is not None and first.value.keys() >= FIELDS


def caption_records(path: Path) -> Iterator[Record]:
    """The captioning records of an AVHBench file; its questions are another task's.

    Raises:
        UserError: a record cannot be read.
    """
    for record in read_records(path):
        if record.value is None:
            raise UserError(f"record {record.row} of {path}: {record.message}", "Correct or remove that record.")
        if "caption" in str(record.value.get("task")).lower():
            yield record


def reference_captions(path: Path) -> dict[str, dict[str, Any]]:
    """``{"references": captions}`` of each clip.

    Raises:
        UserError: the file has no captions, or one of its records names no clip.
    """
    table: dict[str, dict[str, Any]] = {}
    for record in caption_records(path):
        assert record.value is not None
        clip, label = record.value.get("video_id"), record.value.get("label")
        if clip in (None, "") or not isinstance(label, str) or not label.strip():
            raise UserError(f"record {record.row} of {path} has no clip or no caption.", "Correct or remove it.")
        table.setdefault(str(clip), {"references": []})["references"].append(label)
    if not table:
        raise UserError(f"{path} holds no captions: none of its tasks is AV Captioning.", "Give another --truth.")
    return table
