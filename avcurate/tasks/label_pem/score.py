"""Parse answers from the stored raw responses, count the correct ones and measure CoT consistency."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.engines.embedder import Embedder
from avcurate.metrics.answers import is_correct, parse_answer, reasoning_text
from avcurate.metrics.consistency import jackknife_error, mean_pairwise_cosine
from avcurate.prompts import COT, Prompt
from avcurate.runner.isolate import in_batches
from avcurate.runner.stage import Kept, Outcome, Row, Stage, WorkLog
from avcurate.schema import BLIND_SCORE, SCORE, Setting, columns_schema


class ScoreStage(Stage):
    """Columns added: ``schema.SCORE``, and ``schema.BLIND_SCORE``. Equal texts of a row are embedded once."""

    name = "score"
    version = 2

    def __init__(self, embedder: Embedder, n: int, prompt: Prompt = COT, *, blind: bool = False) -> None:
        self.embedder, self.n, self.prompt, self.blind = embedder, n, prompt, blind
        self.adds = columns_schema("score", SCORE + (BLIND_SCORE if blind else ()))

    def identity(self) -> dict[str, Any]:
        """The embedder; answers are parsed by this version's rules."""
        return {"n": self.n, **self.embedder.identity()}

    def preflight(self) -> None:
        """Check that the embedder is available before anything is sampled."""
        self.embedder.preflight()

    def setup(self) -> None:
        """Load the embedder."""
        self.embedder.setup()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Score rows one by one."""
        yield from in_batches(rows, 1, self.row_id, lambda batch: [self._score(batch[0])])

    def _score(self, row: Row) -> Outcome:
        texts = [[reasoning_text(self.prompt.read(x["text"])) for x in row[f"{s}_responses"]] for s in Setting]
        vectors = self._vectors(texts)
        added = self._added(row, self._consistency(texts, vectors))
        for setting, said in zip(Setting, texts, strict=True):
            known = added[f"{setting}_consistency"] is not None
            added[f"{setting}_consistency_se"] = (
                jackknife_error(np.stack([vectors[t] for t in said])) if known else None
            )
        return Kept(added)

    def _vectors(self, texts: list[list[str]]) -> dict[str, NDArray[np.float32]]:
        """A vector for every text of a row.

        Always embedded as one batch: padding and batch size change the last digits of a vector, and an interrupted
        run must end with the same digits as an unbroken one.
        """
        unique = list(dict.fromkeys(t for setting in texts for t in setting if t))
        return dict(zip(unique, self.embedder.embed(unique) if unique else (), strict=True))

    def _consistency(self, texts: list[list[str]], vectors: dict[str, NDArray[np.float32]]) -> list[float | None]:
        """CoT consistency per setting; ``None`` with fewer than two texts, or if one has no reasoning."""
        scorable = [i for i, setting in enumerate(texts) if len(setting) > 1 and all(setting)]
        if not scorable:
            return [None] * len(texts)
        flat = np.stack([vectors[t] for i in scorable for t in texts[i]])
        groups = np.array([i for i in scorable for _ in texts[i]])
        means = mean_pairwise_cosine(flat, groups, len(texts))
        return [None if np.isnan(m) else float(m) for m in means]

    def _added(self, row: Row, consistencies: list[float | None]) -> Row:
        added: Row = {"n": self.n, "embedder": self.embedder.name}
        for setting, consistency in zip(Setting, consistencies, strict=True):
            added |= self._counted(row, str(setting))
            added |= {
                f"{setting}_cut": sum(x["finish_reason"] == "length" for x in row[f"{setting}_responses"]),
                f"{setting}_consistency": consistency,
            }
        return added | (self._counted(row, "blind") if self.blind else {})

    def _counted(self, row: Row, prefix: str) -> Row:
        answers = [parse_answer(self.prompt.read(x["text"]), row["choices"]) for x in row[f"{prefix}_responses"]]
        correct = [is_correct(a, row["answer"]) for a in answers]
        return {f"{prefix}_answers": answers, f"{prefix}_correct": correct, f"{prefix}_k": sum(correct)}
