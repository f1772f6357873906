"""Asks every question under AV, A and V and keeps all responses.

The unit of work is one question under three settings. What a response says is believed only when a
canary before it and a canary after it have passed: nothing is journaled or handed on before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avcurate.engines.base import Engine
from avcurate.engines.canary import NotHearing, check_hearing
from avcurate.media.cache import ClipCache
from avcurate.prompts import get_prompt
from avcurate.runner.stage import Dead, Outcome, Row, Stage, WorkLog
from avcurate.schema import arrow_schema
from avcurate.stages.sample_spec import SampleSpec
from avcurate.stages.units import Units, asked_of, stored_pieces, wanted

RECHECK_EVERY = 32


class SampleStage(Stage):
    """Columns added: ``schema.SAMPLE``.

    Args:
        engine: the model that answers.
        spec: what is asked and how.
        media_root: folder that ``media`` paths are relative to.
        workers: clips decoded at the same time.
    """

    name = "sample"
    version = 1

    def __init__(self, engine: Engine, spec: SampleSpec, media_root: Path, workers: int = 2) -> None:
        self.engine = engine
        self.spec = spec
        self.media_root = media_root
        self.workers = workers
        self.output = arrow_schema("sample")

    def identity(self) -> dict[str, Any]:
        """Engine, prompt, sampling, ablation, media decoding and early exit."""
        spec = asdict(self.spec) | {"prompt": get_prompt(self.spec.prompt).name}
        limits = ("timeout_s", "memory_mb", "max_bytes")
        spec["media"] = {k: v for k, v in spec["media"].items() if k not in limits}
        # how far each question is asked depends on these, what a response says does not
        del spec["tau_acc"], spec["early_exit"]
        return {"engine": self.engine.identity(), **spec}

    def facts(self) -> dict[str, float]:
        """How far questions are asked."""
        return {"early_exit": float(self.spec.early_exit), "tau_acc": self.spec.tau_acc}

    def complete(self, row: Row) -> bool:
        """Whether every response that these thresholds want is stored; more than enough is enough."""
        return not wanted(self.spec, asked_of(row))

    def pieces(self, row: Row) -> dict[str, Any]:
        """The stored responses, so that sampling goes on after them."""
        return stored_pieces(row)

    def setup(self) -> None:
        """Load the engine and prove that it hears and sees.

        Raises:
            NotHearing: a modality does not reach the model.
        """
        self.engine.setup()
        check_hearing(self.engine, self.spec.interleaved)

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Stream units through the engine, holding them back until the next canary has passed.

        Raises:
            NotHearing: a canary failed during the run; the units since the last one are dead rows.
        """
        clips = ClipCache(self.media_root, self.spec.media, self.workers)
        units = Units(self.engine, self.spec, rows, clips, log)
        try:
            while True:
                for answer in self.engine.generate(units):
                    units.settle(answer)
                    if not self.engine.perceives or units.asked_since_check >= RECHECK_EVERY:
                        yield from self._believe(units)
                if units.exhausted:
                    break
                # the engine ran dry only because finished rows wait to be handed on
                yield from self._believe(units)
            yield from self._believe(units)
        finally:
            clips.close()

    def _believe(self, units: Units) -> Iterator[tuple[str, Outcome]]:
        """Hand on what is finished, after a canary."""
        try:
            if units.asked_since_check:
                check_hearing(self.engine, self.spec.interleaved)
        except NotHearing as e:
            for row_id, setting in units.doubtful():
                yield row_id, Dead("modality_not_delivered", e.message, e.hint, setting)
            raise
        yield from units.release()
