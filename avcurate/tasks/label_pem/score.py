"""Reads answers from the stored raw responses, counts the right ones, measures how alike the reasoning is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.engines.embedder import Embedder
from avcurate.metrics.answers import is_correct, parse_answer, reasoning_text
from avcurate.metrics.consistency import mean_pairwise_cosine
from avcurate.runner.isolate import in_batches
from avcurate.runner.stage import Kept, Outcome, Row, Stage, WorkLog
from avcurate.schema import SCORE, Setting, columns_schema

ROWS_AT_ONCE = 64
REMEMBERED = 20_000


class ScoreStage(Stage):
    """Columns added: ``schema.SCORE``. Equal texts are embedded once."""

    name = "score"
    version = 1

    def __init__(self, embedder: Embedder, n: int) -> None:
        self.embedder = embedder
        self.n = n
        self.adds = columns_schema("score", SCORE)
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def identity(self) -> dict[str, Any]:
        """The embedder; answers are parsed by this version's rules."""
        return {"n": self.n, **self.embedder.identity()}

    def preflight(self) -> None:
        """Find out whether the embedder can be had, before anything is sampled."""
        self.embedder.preflight()

    def setup(self) -> None:
        """Load the embedder."""
        self.embedder.setup()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Score rows in groups, so that the embedder sees full batches."""
        yield from in_batches(rows, ROWS_AT_ONCE, self.row_id, self._score)

    def _score(self, group: list[Row]) -> list[Outcome]:
        texts = [[[reasoning_text(x["text"]) for x in r[f"{s}_responses"]] for s in Setting] for r in group]
        vectors = self._vectors([t for row in texts for setting in row for t in setting])
        spread = self._consistency(texts, vectors)
        return [Kept(self._added(row, row_spread)) for row, row_spread in zip(group, spread, strict=True)]

    def _vectors(self, texts: list[str]) -> dict[str, NDArray[np.float32]]:
        wanted = dict.fromkeys(t for t in texts if t)
        for text in wanted.keys() & self._known.keys():
            self._known.move_to_end(text)
        new = [t for t in wanted if t not in self._known]
        for text, vector in zip(new, self.embedder.embed(new) if new else (), strict=True):
            self._known[text] = vector
        found = {t: self._known[t] for t in wanted}
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _consistency(
        self, texts: list[list[list[str]]], vectors: dict[str, NDArray[np.float32]]
    ) -> list[list[float | None]]:
        """Per row and setting; null where there are fewer than two texts, or one has no reasoning at all."""
        flat, groups = [], []
        cells = [setting for row in texts for setting in row]
        for i, cell in enumerate(cells):
            if len(cell) > 1 and all(cell):
                flat += [vectors[t] for t in cell]
                groups += [i] * len(cell)
        if flat:
            means = mean_pairwise_cosine(np.stack(flat), np.array(groups), len(cells))
        else:
            means = np.full(len(cells), np.nan)
        values = [None if np.isnan(m) else float(m) for m in means]
        width = len(Setting)
        return [values[i : i + width] for i in range(0, len(values), width)]

    def _added(self, row: Row, spread: list[float | None]) -> Row:
        added: Row = {"n": self.n, "embedder": self.embedder.name}
        for setting, consistency in zip(Setting, spread, strict=True):
            answers = [parse_answer(x["text"], row["choices"]) for x in row[f"{setting}_responses"]]
            correct = [is_correct(a, row["answer"]) for a in answers]
            added |= {
                f"{setting}_answers": answers,
                f"{setting}_correct": correct,
                f"{setting}_k": sum(correct),
                f"{setting}_consistency": consistency,
            }
        return added
