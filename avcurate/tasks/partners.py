"""Another clip for every question, whose sound and picture are shown in place of its own (``shuffled``)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from avcurate.errors import UserError
from avcurate.runner.stage import Kept, Outcome, Row, Tick, WholeStage
from avcurate.schema import PARTNER, arrow_schema

Clip = tuple[str, float | None, float | None]


class PartnerStage(WholeStage):
    """The table ``partners``: every question, with the clip that is shown under ``shuffled``.

    The clips are put into one ring, in an order of the run's own; each is answered with the next one's media.
    """

    name = "partners"
    version = 1

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.adds: pa.Schema = arrow_schema("partners")

    def identity(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed}

    def process(self, rows: Iterator[pa.Table], tick: Tick) -> Iterator[tuple[Row, Outcome]]:
        """Read all questions, then give each its partner.

        Raises:
            UserError: there is only one clip.
        """
        every = [row for table in rows for row in table.to_pylist()]
        partner = partners_of([(r["media"], r["start"], r["end"]) for r in every], self.seed)
        for i, row in enumerate(every, 1):
            clip = partner[row["media"], row["start"], row["end"]]
            added = dict(zip((c.name for c in PARTNER), clip, strict=True))
            yield {"question_id": row["question_id"], "row": row["row"], "media": row["media"]}, Kept(row | added)
            tick(i, len(every))


def partners_of(clips: list[Clip], seed: int) -> dict[Clip, Clip]:
    """Each clip's partner: a clip of another file.

    Raises:
        UserError: all clips are of one file.
    """
    distinct = list(dict.fromkeys(clips))
    by_file: dict[str, list[Clip]] = {}
    for clip in distinct:
        by_file.setdefault(clip[0], []).append(clip)
    if len(by_file) < 2 and distinct:
        raise UserError("every question is about the same file: there is no other clip to show.", "Leave shuffled out.")
    files = sorted(by_file)
    random.Random(seed).shuffle(files)
    # the first clip of the next file stands for it: clips of one file sound and look alike
    following = {f: by_file[files[(i + 1) % len(files)]][0] for i, f in enumerate(files)}
    return {clip: following[clip[0]] for clip in distinct}
