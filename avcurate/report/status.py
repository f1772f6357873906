"""How far a run is: readable at any moment, also while another process writes it."""

from __future__ import annotations

import fcntl
from typing import Any

from avcurate.runner.rundir import RunDir

STAGES = ("ingest", "sample", "score", "label", "dominance", "clips", "detect", "objects", "hallucination", "swap")
LAST = {"label", "dominance", "objects", "hallucination", "swap"}


def run_status(run: RunDir) -> dict[str, Any]:
    """State and counts of every stage, from the commits that are on disk now."""
    record = run.record()
    stages: dict[str, Any] = {}
    for name in STAGES:
        parts = run.parts("questions" if name == "ingest" else name)
        commits = parts.commits()
        filtered: dict[str, int] = {}
        dead: dict[str, int] = {}
        for c in commits:
            for total, mine in ((filtered, c.filtered), (dead, c.dead)):
                for reason, n in mine.items():
                    total[reason] = total.get(reason, 0) + n
        if commits:
            stages[name] = {
                "in": sum(c.rows_in for c in commits),
                "kept": sum(c.kept for c in commits),
                "filtered": filtered,
                "dead": dead,
            }
    if _is_written(run):
        state = "running"
    else:
        done = {name for name, s in record["stages"].items() if s.get("complete")}
        captions = record["stages"].get("ingest", {}).get("identity", {}).get("task") == "caption"
        finished = bool(done & LAST) or (captions and "sample" in done)
        state = "finished" if finished else "stopped; the same command goes on with it"
    return {"run": str(run.root), "state": state, "stages": stages, "updated": record.get("updated")}


def _is_written(run: RunDir) -> bool:
    try:
        with (run.root / "lock").open("r") as f:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def dead_rows(run: RunDir) -> list[dict[str, Any]]:
    """All dead letters of a run."""
    rows: list[dict[str, Any]] = []
    for name in STAGES:
        parts = run.parts("questions" if name == "ingest" else name)
        for table in parts.rows("dead"):
            rows += table.to_pylist()
    return rows
