"""Runs a stage on Ray: parts go to actors, outcomes come back, this process alone writes.

The actors run the same stage objects as a local run, so the output is the same. Rows that an
actor finished in an unfinished part are processed again after a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from avcurate.errors import AvcurateError, UserError
from avcurate.runner.execute import StageRun
from avcurate.runner.isolate import refuse_machine_errors
from avcurate.runner.stage import NoLog, Outcome, Row, Stage
from avcurate.runner.tally import Tally


@dataclass(frozen=True)
class _Problem:
    """What stops the run: Ray would wrap the exception, and lose its message."""

    message: str
    hint: str


class _Worker:
    """One actor: a stage that is set up once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.ready = False

    def process(self, rows: list[Row]) -> list[tuple[str, Outcome]] | _Problem:
        """All outcomes of one part."""
        try:
            if not self.ready:
                self.stage.setup()
                self.ready = True
            return list(self.stage.process(iter(rows), NoLog()))
        except Exception as e:
            try:
                refuse_machine_errors(e)
            except AvcurateError as machine:
                return _Problem(machine.message, machine.hint)
            if isinstance(e, AvcurateError):
                return _Problem(e.message, e.hint)
            raise


def run_on_ray(work: StageRun, actors: int | None = None, options: dict[str, Any] | None = None) -> Tally:
    """Process what is left of a stage on Ray.

    Args:
        work: the stage run; it keeps the counts.
        actors: workers; by default one per GPU, or half the CPUs.
        options: resources of an actor, as ``ray.remote`` takes them.

    Raises:
        UserError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray.", "Install it: pip install 'avcurate[ray]'.") from None
    todo = work.plan()
    work.watch(work.tally, None, None)
    if not todo:
        return work.tally
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False)
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    count = min(len(todo), actors or gpus or max(1, int(resources.get("CPU", 2)) // 2))
    actor = ray.remote(**(options or {"num_gpus": 1 if gpus else 0}))(_Worker)
    pool: list[Any] = []
    try:
        pool += [actor.remote(work.stage) for _ in range(count)]
        for row_id, outcome in _stream(ray, pool, work.parts_to_do(todo)):
            work.record_outcome(row_id, outcome)
    finally:
        work.journal.close()
        for worker in pool:
            ray.kill(worker)
    return work.tally


def _stream(ray: Any, pool: list[Any], parts: Iterator[list[Row]]) -> Iterator[tuple[str, Outcome]]:
    """Hand each free actor the next part; yield outcomes as parts come back."""
    free, in_flight = list(pool), {}
    while True:
        while free and (rows := next(parts, None)) is not None:
            actor = free.pop()
            in_flight[actor.process.remote(rows)] = actor
        if not in_flight:
            return
        done, _ = ray.wait(list(in_flight), num_returns=1)
        free.append(in_flight.pop(done[0]))
        try:
            outcomes = ray.get(done[0])
        except ray.exceptions.RayActorError as e:
            reason = " ".join(str(e).split())[:200]
            raise UserError(
                f"a Ray actor was lost: {reason}", "Run the same command again; finished parts are kept."
            ) from e
        if isinstance(outcomes, _Problem):
            raise UserError(outcomes.message, outcomes.hint)
        yield from outcomes
