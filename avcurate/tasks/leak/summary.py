"""What a benchmark leaks, by type of question and by claim."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from avcurate.metrics.statistics import wilson
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.runner.status import stage_counts
from avcurate.tasks.leak.stages import CONDITIONS

COLUMNS = [
    *("question_type", "stated_modality", "text_right", "text_probability", "text_chance"),
    *("solved_by", "leaks", "needs_it"),
]


def summarise_leak(run: RunDir) -> dict[str, Any]:
    """Counts over the finished run."""
    record = run.record()
    rows: list[Row] = [r for t in run.parts("leak").rows(columns=COLUMNS) for r in t.to_pylist()]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups["all"].append(row)
        groups[f"type {row['question_type'] or '–'}"].append(row)
        if row["stated_modality"]:
            groups[f"claims {row['stated_modality']}"].append(row)
    judged = [r for r in rows if r["needs_it"] is not None]
    return {
        "run": str(run.root),
        "model": None if record["recipe"]["text_only"] else record["recipe"]["model"]["model"],
        "tau": record["recipe"]["tau"],
        "questions": len(rows),
        "groups": [_group(name, groups[name]) for name in sorted(groups, key=lambda g: (g != "all", g))],
        "funnel": _funnel(rows),
        "subset": sum(r["needs_it"] for r in judged) if judged else None,
        "stages": stage_counts(record),
    }


def _group(name: str, rows: list[Row]) -> dict[str, Any]:
    right = sum(r["text_right"] for r in rows)
    return {
        "group": name,
        "questions": len(rows),
        "text_reader": right / len(rows),
        "text_reader_interval": list(wilson(right, len(rows))),
        "chance": sum(r["text_chance"] for r in rows) / len(rows),
        **{c: sum(c in r["solved_by"] for r in rows) / len(rows) for c in CONDITIONS},
        "needs_it": None if rows[0]["needs_it"] is None else sum(bool(r["needs_it"]) for r in rows) / len(rows),
    }


def _funnel(rows: list[Row]) -> list[dict[str, Any]]:
    """Questions left after those solved by text, by picture alone and by sound alone are taken away, in this order."""
    steps = [{"step": "asked", "questions": len(rows)}]
    left = rows
    for leak in ("text", "picture", "sound"):
        left = [r for r in left if leak not in r["leaks"]]
        steps.append({"step": f"not solved from {leak} alone", "questions": len(left)})
    return steps
