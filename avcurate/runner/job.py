"""A job over a run directory: lock, inputs, one stage after the other, each checked, counted and recorded.

Everything runs through it. A task says which source and which stages; it takes no lock and writes no record.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.runner.execute import Options, Reproduce, StageRun, too_many_dead
from avcurate.runner.ray.cluster import Ask
from avcurate.runner.rundir import RunDir, check_unchanged, located
from avcurate.runner.source import Extent, Source, refuse_absent, run_source
from avcurate.runner.stage import AnyStage, Stage, TableStage, WholeStage
from avcurate.runner.tables import run_table, run_whole
from avcurate.runner.tally import Begin, Tally, begin_no_progress
from avcurate.store.lock import writer_lock
from avcurate.store.parts import Parts

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Job:
    """What a task does with its rows.

    Attributes:
        outputs: writes files beside the tables once all stages have run, e.g. captions as JSON Lines.
    """

    source: Source
    stages: tuple[AnyStage, ...]
    outputs: Callable[[RunDir], None] = lambda run: None


@dataclass(frozen=True)
class How:
    """How a job is run; none of it changes the output.

    Attributes:
        force: redo what was made with different settings.
        retry: process dead rows again, those of these reasons or (empty) all; ``None``: leave them.
    """

    extent: Extent = field(default_factory=Extent)
    force: bool = False
    retry: frozenset[str] | None = None
    fail_on_dead: float | None = None
    executor: str = "local"
    ray: Ask = field(default_factory=Ask)


@dataclass(frozen=True)
class About:
    """What ``run.json`` says about a run: task, recipe, and inputs (files by path, other values as given)."""

    task: str
    recipe: dict[str, Any]
    inputs: dict[str, Any]


def run_job(
    out: Path, about: About, plan: Callable[[], Job], how: How, begin: Begin = begin_no_progress
) -> dict[str, Tally]:
    """Run, or resume, a job.

    Args:
        out: the run directory.
        about: what is recorded about it.
        plan: makes the job; called under the lock, before anything is recorded.
        how: how it is run.
        begin: opens a watcher for each stage.

    Returns:
        Counts of each stage.

    Raises:
        RecipeChanged, RunLocked, TooManyDead, UserError: see each.
    """
    if how.executor not in EXECUTORS:
        raise UserError(f"there is no executor {how.executor!r}.", f"Executors are: {', '.join(EXECUTORS)}.")
    run = RunDir(out)
    with writer_lock(out):
        record = run.begin(about.task)
        job = plan()
        return _Running(run, record, job, how, begin).run(about)


class _Running:
    """One pass over a job's stages."""

    def __init__(self, run: RunDir, record: dict[str, Any], job: Job, how: How, begin: Begin) -> None:
        self.run_dir, self.record, self.job, self.how, self.begin = run, record, job, how, begin
        self._anew: set[str] = set()
        """Stages whose output is made again, with another identity."""

    def run(self, about: About) -> dict[str, Tally]:
        record = self.record
        stages = self.job.stages
        check_unchanged(record, self.job.source.name, self.job.source.identity(), force=self.how.force)
        for stage in stages:
            # a retry touches dead rows and no others, so not even a cheap stage may change
            free = stage.cheap and self.how.retry is None
            check_unchanged(record, stage.name, stage.identity(), force=self.how.force or free)
        self._refuse_shrinking()
        unchanged = record.get("complete") and not self.how.force and self.how.retry is None
        if not unchanged or self._extent_before() != self.how.extent.identity():
            for stage in stages:
                stage.preflight()
        record["recipe"] = about.recipe
        record["input"] = {
            k: located(v, self.run_dir.root) if isinstance(v, Path) else v for k, v in about.inputs.items()
        }
        record.pop("complete", None)
        # until each is complete again, its rows may come from another recipe than those before it
        for stage in stages:
            record["stages"].get(stage.name, {}).pop("complete", None)
        self.run_dir.save(record)
        tallies = {self.job.source.name: self._source()}
        upstream = self.run_dir.parts(self.job.source.table)
        for stage in stages:
            tallies[stage.name] = self._stage(stage, upstream)
            upstream = self.run_dir.parts(stage.name)
        self.job.outputs(self.run_dir)
        record["complete"] = True
        self.run_dir.save(record)
        return tallies

    def _refuse_shrinking(self) -> None:
        """A smaller limit would throw responses away; a larger one extends the run."""
        before = self._extent_before()
        now = self.how.extent.identity()
        if before is None or self.how.force or before == now:
            return
        fixed = {k for k in ("only", "records", "part_size") if before.get(k) != now[k]}
        smaller = now["limit"] and (not before["limit"] or now["limit"] < before["limit"])
        if smaller or fixed:
            difference = f"the limit {before['limit'] or 'none'}" if smaller else f"a different {sorted(fixed)[0]}"
            raise UserError(
                f"{self.run_dir.root} was started with {difference}.",
                "A larger --limit, or none, extends it. For fewer rows or other parts start a new run with another -o.",
            )

    def _extent_before(self) -> dict[str, Any] | None:
        extent: dict[str, Any] | None = self.record["stages"].get(self.job.source.name, {}).get("extent")
        return extent

    def _source(self) -> Tally:
        source, how, record = self.job.source, self.how, self.record
        entry, extent = record["stages"].get(source.name, {}), how.extent.identity()
        output = self.run_dir.parts(source.table)
        reusable = not (how.force or source.always_read) and how.retry is None
        same = reusable and entry.get("complete") and entry.get("extent") == extent
        # parts with missing commit records would look like input that was removed
        same = same and source.name not in self.run_dir.short(record)
        watch = self.begin(source.name)
        if same:
            tally = Tally()
            for commit in output.commits():
                output.verify(commit)
                tally.add_commit(commit)
            tally.total = tally.done
        else:
            refuse_absent(source, how.extent)
            record["stages"][source.name] = {"table": source.table, "identity": source.identity(), "extent": extent}
            self.run_dir.save(record)
            tally = run_source(source, output, how.extent, self._reproduce(None), watch)
        watch(tally, None, None)
        self._write_counts(source.name, tally)
        return tally

    def _stage(self, stage: AnyStage, upstream: Parts) -> Tally:
        record, output = self.record, self.run_dir.parts(stage.name)
        # until it is complete, stored rows may be of two kinds
        entry = record["stages"].setdefault(stage.name, {})
        identity = json.loads(json.dumps(stage.identity(), default=str))
        if entry.get("identity", identity) != identity:
            # done again with another engine or other settings: what was decided for the earlier ones is void
            entry.pop("decided", None)
            self._anew.add(stage.name)
        entry |= {"table": stage.name, "identity": stage.identity()}
        entry.pop("complete", None)
        self.run_dir.save(record)
        watch = self.begin(stage.name)
        if isinstance(stage, TableStage):
            tally, facts = run_table(stage, upstream, output, watch)
            entry["facts"] = facts
        elif isinstance(stage, WholeStage):
            tally = run_whole(stage, upstream, output, self._reproduce(stage), watch)
        else:
            tally = self._rows(stage, StageRun(stage, upstream, output, self._options(stage), watch))
        self._write_counts(stage.name, tally)
        return tally

    def _rows(self, stage: Stage, work: StageRun) -> Tally:
        entry = self.record["stages"][stage.name]
        begins = not (work.output.begun or work.journal.begun) or stage.name in self._anew
        stage.recall(entry.get("decided", {}))
        if self.how.executor == "ray":
            self._decide(stage, begins, measure=False)
            from avcurate.runner.ray.driver import run_on_ray

            tally = run_on_ray(work, self.how.ray, partial(self._record_provenance, stage))
            if work.replicas:
                self.record["stages"][stage.name]["replicas"] = work.replicas
                self.run_dir.save(self.record)
            return tally

        def started() -> None:
            self._record_provenance(stage, stage.provenance())
            self._decide(stage, begins, measure=True)

        tally = work.run(started)
        if begins and stage.spent():
            # of a stage that was done in one go; what an earlier session spent is not known
            entry["engine_seconds"] = round(stage.spent(), 3)
        elif stage.spent():
            entry.pop("engine_seconds", None)
        return tally

    def _decide(self, stage: Stage, begins: bool, *, measure: bool) -> None:
        """Have a stage decide what holds for the whole run, unless an earlier session, or version, began without."""
        entry = self.record["stages"][stage.name]
        if not begins or "decided" in entry:
            return
        decided = stage.decide(measure)
        if decided:
            entry["decided"] = decided
            self.run_dir.save(self.record)
            stage.recall(decided)

    def _record_provenance(self, stage: Stage, now: dict[str, Any]) -> None:
        """Record which model really answers; refuse one that did not answer so far."""
        entry = self.record["stages"][stage.name]
        before = entry.get("answered_by")
        if before is not None and before != now and not self.how.force:
            raise UserError(
                f"{stage.name} was answered by {before} so far, and would now be answered by {now}.",
                "Serve the same model again, or start a new run with another -o.",
            )
        if now and before != now:
            entry["answered_by"] = now
            self.run_dir.save(self.record)

    def _options(self, stage: Stage) -> Options:
        how = self.how
        return Options(how.retry is not None, how.retry or frozenset(), how.fail_on_dead, self._reproduce(stage))

    def _reproduce(self, stage: AnyStage | None) -> Reproduce:
        """The command for a row that is lost in a stage, or in the source.

        By its id where that is the source's; by its records where they are enough; else the whole run, since what a
        whole stage makes of a row depends on all of them.
        """
        before = takewhile(lambda s: s is not stage, self.job.stages)
        whole = [s for s in (*before, stage) if isinstance(s, WholeStage)]
        enough = all(s.by_records for s in whole)

        def command(row_id: str | None, records: Sequence[int]) -> str:
            which: list[str] = []
            if stage is None or (enough and stage.key != self.job.source.key):
                which = [word for number in records for word in ("--record", str(number))]
            elif stage.key == self.job.source.key:
                which = ["--only", str(row_id)]
            name = f"{self.run_dir.root}-{row_id or f'record-{records[0]}'}"
            return shlex.join(["avcurate", "run", str(self.run_dir.root), *which, "-o", name])

        return command

    def _write_counts(self, stage: str, tally: Tally) -> None:
        """Check conservation over the whole stage, record its counts, and stop where too many rows are dead.

        Raises:
            TooManyDead: their share is above the limit; all output is kept.
        """
        out = tally.kept + sum(tally.filtered.values()) + sum(tally.dead.values())
        if tally.total != out:
            raise RuntimeError(f"{stage} took {tally.total} rows and gave {out}")
        self.record["stages"][stage] |= {
            "complete": True,
            "in": tally.total,
            "kept": tally.kept,
            "filtered": tally.filtered,
            "dead": tally.dead,
        }
        self.run_dir.save(self.record)
        limit = self.how.fail_on_dead
        if limit is not None and sum(tally.dead.values()) > limit * tally.total:
            raise too_many_dead(stage, tally, limit)
