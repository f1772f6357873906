"""Ask every question under each condition, with all n responses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from avcurate.engines.base import Engine
from avcurate.media.cache import ClipCache
from avcurate.metrics.answers import is_correct
from avcurate.metrics.evaluation import read_answer
from avcurate.metrics.pem import pem_of, said_pem
from avcurate.runner.stage import Outcome, Row, WorkLog
from avcurate.scheduler.ability import decode_spec
from avcurate.scheduler.question import QuestionUnit, question_units
from avcurate.scheduler.schedule import Scheduler
from avcurate.scheduler.spec import AskSpec, Condition
from avcurate.schema import EVAL, columns_schema
from avcurate.tasks.sampling import AskingStage, shown_media

TOKENS = ("prompt_tokens", "audio_tokens", "video_tokens")


class EvalStage(AskingStage):
    """Columns added: ``schema.EVAL``."""

    name = "eval"
    version = 2

    def __init__(
        self,
        engine: Engine,
        spec: AskSpec,
        conditions: Sequence[Condition],
        media_root: Path,
        workers: int = 2,
        unreadable: float | None = None,
    ) -> None:
        super().__init__(engine, spec, media_root, workers, unreadable)
        self.conditions = conditions
        self.settings = tuple(c.setting for c in conditions if c.setting is not None)
        self.adds = columns_schema("eval", EVAL)

    def identity(self) -> dict[str, Any]:
        """The identity of :class:`AskingStage`, and the conditions."""
        return {"conditions": [c.name for c in self.conditions], **super().identity()}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Stream questions through the engine.

        Raises:
            NotHearing: a canary failed during the run; rows answered since the last one are dead.
        """
        clips = ClipCache(self.media_root, decode_spec(self.engine, self.spec), self.workers)
        units = question_units(self.engine, self.spec, self.conditions, clips, self._columns)
        try:
            self._scheduler = Scheduler(self.engine, units, interleaved=self.spec.interleaved, ahead=clips.ahead)
            yield from self._scheduler.process(rows, log)
        finally:
            clips.close()

    def _columns(self, unit: QuestionUnit) -> Row:
        clip, row = unit.clip, unit.row
        pem = pem_of(row["stated_modality"])
        asked = []
        for name, question in unit.asked.items():
            texts = [r["text"] for r in question.responses]
            answers = [read_answer(self.spec.prompt.read(t), row["choices"]) for t in texts]
            self.legibility.add(sum(a is None for a in answers), len(answers))
            stated = [said_pem(t) for t in texts]
            asked.append(
                {
                    "condition": name,
                    "texts": texts,
                    "answers": answers,
                    "correct": [is_correct(a, row["answer"]) for a in answers],
                    "pems": [None if p is None else str(p) for p in stated],
                    **{k: question.received[k] for k in TOKENS},
                }
            )
        return {
            **shown_media(clip, self.engine),
            "engine": self.engine.name,
            "pem": None if pem is None else str(pem),
            "asked": asked,
        }
