"""One stage after the other over a run directory: identity checked, run, counted, put on record."""

from __future__ import annotations

from typing import Any

from avcurate.errors import UserError
from avcurate.runner.execute import Options, StageRun, Tally, Watch, watch_nothing
from avcurate.runner.rundir import RunDir, check_unchanged
from avcurate.runner.stage import Stage
from avcurate.store.parts import Parts


def run_stage(
    run: RunDir,
    record: dict[str, Any],
    stage: Stage,
    upstream: Parts,
    options: Options,
    watch: Watch = watch_nothing,
    *,
    executor: str = "local",
    force: bool = False,
) -> Tally:
    """Run, or resume, one stage and settle its counts.

    Raises:
        RecipeChanged: its stored output was made otherwise.
        UserError: there is no such executor.
    """
    if executor not in ("local", "ray"):
        raise UserError(f"there is no executor {executor!r}.", "Executors are: local, ray.")
    check_unchanged(record, stage.name, stage.identity(), force=force)
    # until it has run to its end, what is stored may be of two kinds
    begun = record["stages"].setdefault(stage.name, {})
    begun["identity"] = stage.identity()
    begun.pop("complete", None)
    run.save(record)
    work = StageRun(stage, upstream, run.parts(stage.name), options, watch)
    if executor == "ray":
        from avcurate.runner.ray_executor import run_on_ray

        tally = run_on_ray(work)
    else:
        tally = work.run()
    settle(run, record, stage.name, tally)
    return tally


def settle(run: RunDir, record: dict[str, Any], stage: str, tally: Tally) -> None:
    """Check conservation once more over the whole stage, and put its counts on record."""
    out = tally.kept + sum(tally.filtered.values()) + sum(tally.dead.values())
    if tally.total != out:
        raise RuntimeError(f"{stage} took {tally.total} rows and gave {out}")
    record["stages"].setdefault(stage, {}).update(
        {
            "complete": True,
            "in": tally.total,
            "kept": tally.kept,
            "filtered": tally.filtered,
            "dead": tally.dead,
        }
    )
    run.save(record)
