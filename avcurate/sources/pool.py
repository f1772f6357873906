"""Clips of a list as multiple-choice questions over a pool of classes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from avcurate.errors import RowError
from avcurate.seeds import derive_seed
from avcurate.sources.clips import BadRow, read_clips
from avcurate.sources.format import Format
from avcurate.sources.question import Question
from avcurate.sources.records import Record

# the trailing line break is the authors' own
QUESTION = "Classify the sounding object into one of the categories below:\n"


def clip_records(path: Path) -> Iterator[Record]:
    """One record per clip, with all classes that the list gives it, in list order."""
    labels: dict[str, list[str]] = {}
    first: dict[str, int] = {}
    media: dict[str, str] = {}
    for row in read_clips(path):
        if isinstance(row, BadRow):
            yield Record(row.row, None, row.reason, row.message)
            continue
        labels.setdefault(row.clip_id, []).append(row.label)
        first.setdefault(row.clip_id, row.row)
        media.setdefault(row.clip_id, row.media or row.clip_id)
    for clip, names in labels.items():
        yield Record(first[clip], {"clip_id": clip, "media": media[clip], "labels": names})


def pool_format(name: str, classes: Sequence[str], seed: int) -> Format:
    """Reads a clip record: all classes of the pool as options, in an order drawn from the seed and the clip.

    A clip with several classes is asked about the first of them that is in the pool; one with none is
    filtered (``class_not_in_pool``).
    """
    known = set(classes)

    def read(raw: dict[str, Any]) -> Question:
        clip = str(raw["clip_id"])
        answer = next((x for x in raw["labels"] if x in known), None)
        if answer is None:
            raise RowError("class_not_in_pool", f"{clip}: {', '.join(raw['labels'])} is not in {name}.")
        options = list(classes)
        random.Random(derive_seed("options", seed, clip)).shuffle(options)
        media, right = str(raw["media"]), options.index(answer)
        return Question("clips", clip, media, QUESTION, tuple(options), answer, right, question_type=name)

    return Format("clips", "a list of clips and a pool of classes", frozenset({"clip_id", "labels"}), read)
