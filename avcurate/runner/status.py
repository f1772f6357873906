"""Progress of a run: readable at any moment, even while another process writes it. Knows no task by name."""

from __future__ import annotations

import fcntl
import os
from typing import Any

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir

RESUMES = "stopped; the same command resumes it"


def run_status(run: RunDir) -> dict[str, Any]:
    """State and counts of every stage, from the commits on disk now."""
    record = run.record()
    stages: dict[str, Any] = {}
    for name, parts in run.tables(record).items():
        commits = parts.commits()
        filtered: dict[str, int] = {}
        dead: dict[str, int] = {}
        for c in commits:
            for total, mine in ((filtered, c.filtered), (dead, c.dead)):
                for reason, n in mine.items():
                    total[reason] = total.get(reason, 0) + n
        entry = record["stages"][name]
        if not commits and "in" in entry:
            stages[name] = {k: entry[k] for k in ("in", "kept", "filtered", "dead")}
        elif commits:
            stages[name] = {
                "in": sum(c.rows_in for c in commits),
                "kept": sum(c.kept for c in commits),
                "filtered": filtered,
                "dead": dead,
            }
    state = "running" if is_written(run) else "finished" if is_finished(record) else RESUMES
    if state == "finished" and (lost := run.short(record)):
        state = f"damaged: parts of {', '.join(lost)} are missing; see `avcurate verify {run.root}`"
    return {
        "run": str(run.root),
        "task": record.get("task"),
        "state": state,
        "stages": stages,
        "replicas": {n: s["replicas"] for n, s in record["stages"].items() if s.get("replicas")},
        "progress": record.get("progress"),
        "updated": record.get("updated"),
    }


def stage_counts(record: dict[str, Any]) -> dict[str, Any]:
    """Rows in, kept, filtered and dead of each complete stage."""
    keys = ("in", "kept", "filtered", "dead")
    return {name: {k: s[k] for k in keys} for name, s in record["stages"].items() if "in" in s}


def is_finished(record: dict[str, Any]) -> bool:
    """Whether a run is finished; in older versions, whether all its stages are."""
    if record.get("schema_version", 0) >= 3:
        return bool(record.get("complete"))
    return bool(record["stages"]) and all(s.get("complete") for s in record["stages"].values())


def is_written(run: RunDir) -> bool:
    """Whether another process holds the run's lock."""
    try:
        # non-blocking, in case the lock is a pipe
        lock = os.open(run.root / "lock", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def refuse_mixed(run: RunDir) -> None:
    """Refuse a run that was stopped while it was being redone: it holds old and new rows.

    Raises:
        UserError: parts of a table were made with different settings, or from rows that are gone.
    """
    tables = run.tables(run.record())
    by_table = {parts.name: parts for parts in tables.values()}
    for name, parts in tables.items():
        commits = parts.commits()
        mixed = len({c.fingerprint for c in commits}) > 1
        for c in commits:
            upstream = by_table.get(c.reads)
            made_from = upstream.commit_of(c.part) if upstream else None
            mixed = mixed or bool(upstream and (made_from is None or upstream.digest(made_from) != c.upstream))
        if mixed:
            raise UserError(
                f"{run.root} holds old and new rows of {name}: it was being redone and was stopped.",
                "Run the same command again; it resumes from there.",
            )


def dead_rows(run: RunDir) -> list[dict[str, Any]]:
    """All dead rows of a run."""
    rows: list[dict[str, Any]] = []
    for parts in run.tables(run.record()).values():
        for table in parts.rows("dead"):
            rows += table.to_pylist()
    return rows
