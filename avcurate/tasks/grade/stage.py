"""Answers graded: choices by meaning, open answers by a judge, instructions by the form of the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from avcurate.engines.base import Engine, Sampling
from avcurate.engines.embedder import Embedder
from avcurate.errors import RowError
from avcurate.metrics.answers import fold
from avcurate.metrics.grading import HIGHEST, RATE, SAME, VERSION, filled, read_rating, read_same
from avcurate.metrics.instructions import RULES, follows
from avcurate.runner.isolate import Isolation, guarded
from avcurate.runner.stage import Dead, Filtered, Kept, Outcome, Row, WorkLog
from avcurate.scheduler.schedule import Scheduler
from avcurate.scheduler.text import TextUnit
from avcurate.schema import GRADE, columns_schema
from avcurate.seeds import derive_seed
from avcurate.tasks.grade.recipe import GradeRecipe, Rule
from avcurate.tasks.records import RecordStage

CLOSED, OPEN, INSTRUCTION = "closed", "open", "instruction"


class GradeStage(RecordStage):
    """Columns added: ``schema.GRADE``.

    Args:
        rule: how answers are scored.
        engine: the judge; ``None``: what needs one is filtered.
        embedder: which choice an answer means; ``None`` where no rule asks.
    """

    name = "grade"
    version = 1
    journals_outcomes = False

    def __init__(self, recipe: GradeRecipe, rule: Rule, engine: Engine | None, embedder: Embedder | None) -> None:
        super().__init__({}, ())
        self.recipe, self.rule, self.engine, self.embedder = recipe, rule, engine, embedder
        self.adds = columns_schema("grade", GRADE)
        self.sampling = Sampling(**recipe.sampling.model_dump())
        self.prompt = recipe.prompt or (RATE if rule == "mmau-pro" else SAME)
        self._vectors: dict[str, np.ndarray] = {}

    def identity(self) -> dict[str, Any]:
        """The rule, the judge, its prompt and sampling, and the embedder."""
        return {
            "rule": self.rule,
            "judge": self.engine.identity() if self.engine else None,
            "embedder": self.embedder.identity() if self.embedder else None,
            "seed": self.recipe.seed,
            "sampling": vars(self.sampling),
            "prompt": [VERSION, self.prompt],
        }

    def preflight(self) -> None:
        """Check the embedder, if one is needed."""
        if self.embedder is not None:
            self.embedder.preflight()

    def setup(self) -> None:
        """Load the models."""
        for model in (self.engine, self.embedder):
            if model is not None:
                model.setup()

    def provenance(self) -> dict[str, Any]:
        """The engine's report on the judge."""
        return self.engine.provenance() if self.engine else {}

    def close(self) -> None:
        """Free the judge."""
        if self.engine is not None:
            self.engine.close()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Grade every answer; only what a judge must rate reaches it."""
        if self.engine is None:
            isolation = Isolation()
            for row in rows:
                outcome = guarded(isolation, partial(self._without_judge, row))
                yield self.row_id(row), outcome or Filtered("needs_a_judge", "an open answer, and no judge was given")
            return
        early = list[tuple[str, Outcome]]()

        def open_ones() -> Iterator[Row]:
            isolation = Isolation()
            for row in rows:
                outcome = guarded(isolation, partial(self._without_judge, row))
                if outcome is None:
                    yield row
                else:
                    early.append((self.row_id(row), outcome))

        for outcome in Scheduler(self.engine, self._unit, canary=False).process(open_ones(), log):
            yield from early
            early.clear()
            yield outcome
        yield from early

    def _without_judge(self, row: Row) -> Outcome | None:
        """The outcome of an answer that no judge is asked about."""
        raw = self.raw(row)
        if not raw["answers"]:
            return Dead("no_answer", "the evaluation stored no response to this question.", "")
        if self.rule != "mmau-pro":
            return None
        if (instruction := stated_instruction(raw["answer"])) is not None:
            scores = [float(follows(a, instruction | {"prompt": raw["question"]})) for a in raw["answers"]]
            return Kept(graded(raw, INSTRUCTION, scores))
        if raw["choices"]:
            meant = [self._meant(a, raw["choices"]) for a in raw["answers"]]
            return Kept(graded(raw, CLOSED, [float(fold(m) == fold(raw["answer"])) for m in meant], meant=meant))
        return None

    def _meant(self, answer: str, choices: list[str]) -> str:
        """The choice that is nearest in meaning; of equally near ones the first."""
        vectors = np.stack([self._vector(t) for t in (answer, *choices)])
        return choices[int(np.argmax(vectors[1:] @ vectors[0]))]

    def _vector(self, text: str) -> np.ndarray:
        assert self.embedder is not None
        if text not in self._vectors:
            # one at a time: in a batch, the last digits depend on its other texts
            vector = self.embedder.embed([text or " "])[0]
            self._vectors[text] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return self._vectors[text]

    def _unit(self, row: Row) -> TextUnit:
        assert self.engine is not None
        raw = self.raw(row)
        prompts = {
            str(i): (
                filled(self.prompt, raw["question"], raw["answer"], " ".join(answer.split())),
                derive_seed("grade", self.recipe.seed, raw["question_id"], raw["condition"], i),
            )
            for i, answer in enumerate(raw["answers"])
        }

        def outcome_of(replies: dict[str, list[dict[str, Any]]]) -> Outcome:
            texts = [replies[str(i)][0]["text"] for i in range(len(raw["answers"]))]
            if self.rule == "mmau-pro":
                ratings = [read_rating(t) for t in texts]
                return Kept(graded(raw, OPEN, [None if r is None else r / HIGHEST for r in ratings], replies=texts))
            same = [read_same(t) for t in texts]
            return Kept(graded(raw, OPEN, [None if s is None else float(s) for s in same], replies=texts))

        return TextUnit(self.row_id(row), row, self.engine, prompts, 1, self.sampling, outcome_of)


def stated_instruction(answer: str) -> dict[str, Any] | None:
    """The instruction that an answer has to follow; ``None`` where the answer is an answer.

    Raises:
        RowError: ``unknown_instruction``.
    """
    if not answer.startswith('{"instruction"'):
        return None
    instruction: dict[str, Any] = json.loads(answer)
    if instruction["instruction"] not in RULES:
        raise RowError("unknown_instruction", f"there is no rule for {str(instruction['instruction'])[:80]!r}.")
    return instruction


def graded(
    raw: Row, kind: str, scores: Sequence[float | None], *, meant: Sequence[str] = (), replies: Sequence[str] = ()
) -> Row:
    """The columns of ``schema.GRADE``."""
    read = [s for s in scores if s is not None]
    return {
        "question_id": raw["question_id"],
        "condition": raw["condition"],
        "category": raw["question_type"],
        "kind": kind,
        "answers": raw["answers"],
        "scores": list(scores),
        "score": float(np.mean(read)) if read else None,
        "meant": list(meant),
        "replies": list(replies),
    }
