"""The text-only reader over all questions, and what each question leaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from avcurate.metrics.pem import pem_of
from avcurate.metrics.text_probe import Text, text_probe
from avcurate.runner.stage import Kept, Outcome, Row, TableStage, Tick, WholeStage
from avcurate.schema import LEAK, PEM, TEXT_PROBE, arrow_schema, columns_schema

CONDITIONS = ("t", "a", "v", "av")
# what each condition's success shows to be enough
ENOUGH = {"t": "text", "a": "sound", "v": "picture"}
# which of them a question of each kind must not be solved by
FORBIDDEN = {
    PEM.AUDIO: ("text", "picture"),
    PEM.VISUAL: ("text", "sound"),
    PEM.AUDIO_VISUAL: ("text", "sound", "picture"),
    None: ("text",),
}


class TextStage(WholeStage):
    """The table ``text``: every question, with what the text-only reader makes of it."""

    name = "text"
    version = 1

    def __init__(self, folds: int, seed: int) -> None:
        self.folds, self.seed = folds, seed
        self.adds: pa.Schema = arrow_schema("text")

    def identity(self) -> dict[str, Any]:
        """Folds and seed."""
        return {"folds": self.folds, "seed": self.seed}

    def process(self, rows: Iterator[pa.Table], tick: Tick) -> Iterator[tuple[Row, Outcome]]:
        """Read all questions, then guess each from the others."""
        every = [row for table in rows for row in table.to_pylist()]
        texts = [Text(r["question"], tuple(r["choices"]), r["answer"], r["video_id"]) for r in every]
        for i, (row, guess) in enumerate(zip(every, text_probe(texts, self.folds, self.seed), strict=True), 1):
            added = {c.name: value for c, value in zip(TEXT_PROBE, vars(guess).values(), strict=True)}
            kept = {name: row.get(name) for name in self.adds.names} | added
            yield {"question_id": row["question_id"], "row": row["row"], "media": row["media"]}, Kept(kept)
            tick(i, len(every))


class LeakStage(TableStage):
    """Columns added: ``schema.LEAK``."""

    name = "leak"
    version = 1

    def __init__(self, tau: float, text_probability: float | None) -> None:
        self.tau, self.text_probability = tau, text_probability
        self.adds = columns_schema("leak", LEAK)

    def identity(self) -> dict[str, Any]:
        """Thresholds."""
        return {"tau": self.tau, "text_probability": self.text_probability}

    def table(self, rows: pa.Table) -> pa.Table:
        """What each question leaks, and whether it needs what it claims."""
        return pa.Table.from_pylist([self._of(r) for r in rows.to_pylist()], schema=self.adds)

    def _of(self, row: Row) -> Row:
        solved = [a["condition"] for a in row.get("asked") or [] if _share(a["correct"]) >= self.tau]
        leaks = [ENOUGH[c] for c in solved if c in ENOUGH]
        sure = self.text_probability is not None and row["text_probability"] >= self.text_probability
        if sure and "text" not in leaks:
            leaks.insert(0, "text")
        forbidden = FORBIDDEN[pem_of(row["stated_modality"])]
        asked = bool(row.get("asked")) or self.text_probability is not None
        return {
            "solved_by": solved,
            "leaks": leaks,
            "needs_it": not set(leaks) & set(forbidden) if asked else None,
        }


def _share(correct: list[bool]) -> float:
    return sum(correct) / len(correct) if correct else 0.0
