"""The stage that asks every question under A, V and AV and stores all responses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from avcurate.engines.base import Engine
from avcurate.engines.canary import check_hearing
from avcurate.engines.conformance import refuse_miscounts
from avcurate.media.cache import ClipCache
from avcurate.media.decode import DecodedClip
from avcurate.metrics.answers import parse_answer
from avcurate.runner.stage import Outcome, Row, Stage, WorkLog
from avcurate.scheduler.ability import decode_spec, refuse_inability
from avcurate.scheduler.question import RECEIVED, Asked, EarlyExit, QuestionUnit, count_right, question_units
from avcurate.scheduler.schedule import Scheduler
from avcurate.scheduler.spec import SETTINGS, AskSpec, Condition
from avcurate.scheduler.waves import measure_waves
from avcurate.schema import BLIND_SAMPLE, SAMPLE, Setting, columns_schema
from avcurate.tasks.legibility import Legibility


class AskingStage(Stage):
    """A stage that shows clips to an engine, which is loaded once and must pass the canary.

    Args:
        engine: the model that answers.
        spec: prompt, sampling and media options.
        media_root: folder that ``media`` paths are relative to.
        workers: clips decoded in parallel.
        unreadable: maximum share of unreadable answers; ``None``: no limit.
    """

    journals_outcomes = False
    streams = True
    # two waves of 96 responses by three a question, and clips on their way
    credit = 80

    def __init__(
        self, engine: Engine, spec: AskSpec, media_root: Path, workers: int = 2, unreadable: float | None = None
    ) -> None:
        self.engine = engine
        self.legibility = Legibility(unreadable)
        self.spec = spec
        self.settings: tuple[Setting, ...] = tuple(Setting)
        self.media_root = media_root
        self.workers = workers
        self._scheduler: Scheduler | None = None

    def identity(self) -> dict[str, Any]:
        """Engine, prompt, sampling, ablation, and media decoding."""
        return {"engine": self.engine.identity(), **self.spec.identity()}

    def setup(self) -> None:
        """Load the engine and prove that it hears and sees.

        Raises:
            NotHearing: a modality does not reach the model.
            UserError: the model's family cannot be shown what is to be asked.
        """
        refuse_inability(self.engine, self.settings, self.spec)
        self.engine.setup()
        check_hearing(self.engine, self.spec.interleaved)
        refuse_miscounts(self.engine)

    def provenance(self) -> dict[str, Any]:
        """The engine's report on its model."""
        return self.engine.provenance()

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def pulse(self) -> str:
        """How busy the engine is."""
        return str(self._scheduler.pulse) if self._scheduler is not None else ""

    def busy(self) -> float | None:
        """Of this process's engine."""
        return self._scheduler.pulse.busy if self._scheduler is not None else None

    def spent(self) -> float:
        """From the first request on, waiting left out."""
        pulse = self._scheduler.pulse if self._scheduler is not None else None
        return pulse.whole * pulse.busy if pulse is not None else 0.0


def shown_media(clip: DecodedClip, engine: Engine) -> Row:
    """Columns ``schema.SHOWN``."""
    return {
        "media_sha256": clip.sha256,
        "duration": clip.duration,
        "seconds_not_shown": clip.not_shown,
        "media_shortfall": clip.shortfall,
        "hearing": engine.hearing,
        "media_decoded": [
            {"track": t.name, "expected_seconds": t.expected, "decoded_seconds": t.decoded, "units": t.units}
            for t in clip.tracks
        ],
    }


class SampleStage(AskingStage):
    """Columns added: ``schema.SAMPLE``. With ``early_exit``, samples no more than the PEM label needs.

    Args:
        answers: whether responses are answers to be parsed, or free text.
        blind: a condition without the question's clip that is asked too; adds ``schema.BLIND_SAMPLE``.
    """

    name = "sample"
    version = 2

    def __init__(
        self,
        engine: Engine,
        spec: AskSpec,
        media_root: Path,
        workers: int = 2,
        early_exit: EarlyExit | None = None,
        unreadable: float | None = None,
        *,
        answers: bool = True,
        blind: Condition | None = None,
    ) -> None:
        super().__init__(engine, spec, media_root, workers, unreadable)
        self._answers = answers
        self.early_exit, self.blind = early_exit, blind
        # of each condition: the prefix of its columns
        self._prefixes = {str(s): str(s) for s in Setting} | ({blind.name: "blind"} if blind else {})
        self.adds: pa.Schema = columns_schema("sample", SAMPLE + (BLIND_SAMPLE if blind else ()))

    def identity(self) -> dict[str, Any]:
        """The identity of :class:`AskingStage`, and the blind condition, if one is asked."""
        return super().identity() | ({"blind": self.blind.name} if self.blind else {})

    def facts(self) -> dict[str, float]:
        """Early-exit options; no single response depends on them."""
        early_exit = self.early_exit
        if early_exit is None:
            return {"early_exit": 0.0, "tau_acc": 0.0, "waves": 0.0}
        return {"early_exit": 1.0, "tau_acc": early_exit.tau_acc, "waves": float(early_exit.waves)}

    def decide(self, measure: bool) -> dict[str, Any]:
        """Whether settings are asked in waves, where that is not known from the engine's kind; unmeasured: not."""
        if self.early_exit is None or not (self.engine.keeps_prompts and self.engine.far):
            return {}
        return measure_waves(self.engine, self.spec) if measure else {"waves": False}

    def recall(self, decided: dict[str, Any]) -> None:
        """Ask as before: in waves or not."""
        if self.early_exit is not None and "waves" in decided:
            self.early_exit = replace(self.early_exit, waves=bool(decided["waves"]))

    def complete(self, row: Row) -> bool:
        """Whether all responses these thresholds require are stored; extra ones do no harm."""
        asked = {
            name: Asked(r := row[f"{prefix}_responses"] or [], count_right(row, r, self.spec.prompt))
            for name, prefix in self._prefixes.items()
        }
        if self.early_exit is not None:
            return not self.early_exit.wanted(asked, self.spec.n)
        return all(len(a.responses) >= self.spec.n for a in asked.values())

    def pieces(self, row: Row) -> dict[str, Any]:
        """The stored responses, one piece per condition, from which sampling resumes."""
        return {
            f"{name}/0": {"responses": row[f"{p}_responses"], **{field: row[f"{p}_{field}"] for field in RECEIVED}}
            for name, p in self._prefixes.items()
            if row[f"{p}_responses"]
        }

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Stream questions through the engine.

        Raises:
            NotHearing: a canary failed during the run; rows answered since the last one are dead.
        """
        clips = ClipCache(self.media_root, decode_spec(self.engine, self.spec), self.workers)
        conditions = [*SETTINGS, *([self.blind] if self.blind else [])]
        units = question_units(self.engine, self.spec, conditions, clips, self._columns, self.early_exit)
        try:
            self._scheduler = Scheduler(self.engine, units, interleaved=self.spec.interleaved, ahead=clips.ahead)
            yield from self._scheduler.process(rows, log)
        finally:
            clips.close()

    def _columns(self, unit: QuestionUnit) -> Row:
        clip = unit.clip
        added: Row = {**shown_media(clip, self.engine), "engine": self.engine.name}
        if self._answers:
            texts = [self.spec.prompt.read(r["text"]) for asked in unit.asked.values() for r in asked.responses]
            self.legibility.add(sum(parse_answer(t, unit.row["choices"]) is None for t in texts), len(texts))
        for condition, asked in unit.asked.items():
            prefix = self._prefixes[condition]
            added[f"{prefix}_responses"] = asked.responses
            added[f"{prefix}_asked"] = len(asked.responses)
            for name in RECEIVED:
                added[f"{prefix}_{name}"] = asked.received.get(name)
        return added
