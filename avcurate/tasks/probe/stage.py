"""What every probe does with a row: decode the clip, answer under each condition, look inside, add columns."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from avcurate.attention.cut import Cut
from avcurate.engines.base import Engine
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.engines.watched import watch
from avcurate.errors import UserError
from avcurate.media.cache import ClipCache
from avcurate.media.decode import DecodedClip
from avcurate.metrics.answers import is_correct
from avcurate.metrics.evaluation import read_answer
from avcurate.runner.isolate import Isolation, guarded
from avcurate.runner.stage import Filtered, Kept, Outcome, Row, WorkLog
from avcurate.scheduler.ability import decode_spec
from avcurate.scheduler.showing import request_of, unaskable
from avcurate.scheduler.spec import AskSpec, Condition
from avcurate.schema import SHOWN, columns_schema
from avcurate.schema_probes import PROBES
from avcurate.tasks.probe.reading import Answered, Reading
from avcurate.tasks.sampling import AskingStage, shown_media
from avcurate.train.omni import Omni


class ProbeStage(AskingStage):
    """Columns added: those of the media shown, and ``schema_probes.PROBES``.

    One row at a time, so that what is read of a row depends on nothing else; clips are decoded ahead.
    """

    journals_outcomes = True
    streams = False
    credit = 32
    probe: str
    version = 1

    def __init__(
        self, engine: Engine, spec: AskSpec, conditions: Sequence[Condition], media_root: Path, workers: int = 2
    ) -> None:
        super().__init__(engine, spec, media_root, workers)
        if not isinstance(engine, TransformersEngine):
            raise UserError(
                f"a probe looks inside the model, and engine {engine.name!r} does not let it.",
                "Use --engine transformers with an omni model.",
            )
        if engine.guidance is not None:
            raise UserError("a probe reads the model as it is, not a guided decoder.", "Leave decode out.")
        if any(c.other for c in conditions):
            raise UserError("a probe shows a question its own clip.", "Leave shuffled out of --conditions.")
        self.model: TransformersEngine = engine
        self.conditions = {c.name: c for c in conditions}
        self.settings = tuple(c.setting for c in conditions if c.setting is not None)
        self.name = f"probe_{self.probe}"
        self.adds = columns_schema(self.name, SHOWN + PROBES[self.probe])

    def depends(self) -> dict[str, Any]:
        """Options of this probe that its columns depend on."""
        return {}

    def identity(self) -> dict[str, Any]:
        """The identity of :class:`AskingStage`, the conditions, and the probe's options."""
        return {"conditions": list(self.conditions), **super().identity(), **self.depends()}

    def setup(self) -> None:
        """Load the model, prove that it hears and sees, and switch to the attention that is read.

        Raises:
            NotHearing: a modality does not reach the model.
        """
        super().setup()
        watch(self.model)
        self.omni = Omni(self.model)

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """One row after the other."""
        clips = ClipCache(self.media_root, decode_spec(self.engine, self.spec), self.workers)
        isolation = Isolation()
        waiting: deque[tuple[Row, Future[DecodedClip]]] = deque()
        try:
            while True:
                while len(waiting) < clips.ahead() and (row := next(rows, None)) is not None:
                    waiting.append((row, clips.get(row["media"], row["start"], row["end"])))
                if not waiting:
                    return
                row, clip = waiting.popleft()
                yield self.row_id(row), guarded(isolation, partial(self._outcome, row, clip))
        finally:
            clips.close()

    def _outcome(self, row: Row, decoding: Future[DecodedClip]) -> Outcome:
        clip = decoding.result()
        refused = unaskable(self.engine, row, clip, self.settings)
        if refused is not None:
            return refused
        probed = self.examine(row, clip)
        if isinstance(probed, Filtered):
            return probed
        return Kept({**shown_media(clip, self.engine), "engine": self.engine.name, "probed": probed})

    @abstractmethod
    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]] | Filtered:
        """Entries of the column ``probed``, or why the row is not wanted.

        Raises:
            RowError: the row is dead.
        """

    def answers(
        self, row: Row, clip: DecodedClip, conditions: Sequence[str] = (), cuts: Sequence[Cut] = ()
    ) -> list[Answered]:
        """The model's answers under some conditions (all, if none are named), under cuts if there are any."""
        answered = []
        for name in conditions or self.conditions:
            request = request_of(self.engine, self.spec, row, clip, self.conditions[name], 1)
            # alone: what is read must not depend on what shares the batch
            (ids,) = self.model.sample([request], tuple(cuts)).written
            answered.append(self.answered(row, name, request, ids))
        return answered

    def answered(self, row: Row, name: str, request: Any, ids: Sequence[int]) -> Answered:
        """A response, parsed."""
        text = request.prefix + self.model.decode(ids)
        answer = read_answer(self.spec.prompt.read(text), row["choices"])
        return Answered(name, request, tuple(ids), text, answer, is_correct(answer, row["answer"]))

    def reading(self, answered: Answered) -> Reading:
        """The response after its prompt, to be read in one pass."""
        return Reading(self.omni, answered.request, answered.ids)
