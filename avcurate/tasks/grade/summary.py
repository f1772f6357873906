"""Summary of a graded evaluation: per category, and the mean over questions as MMAU-Pro takes it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from avcurate.metrics.grading import HIGHEST, NEUTRAL
from avcurate.metrics.statistics import mean_interval
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.tasks.grade.stage import OPEN


def summarise_grade(run: RunDir) -> dict[str, Any]:
    """Scores per condition and category.

    Every question of the evaluation is in the denominator: one that was not graded, or whose judge could not be read,
    scores 0. ``as_released`` counts graded questions alone, with 3 of 5 for an unreadable rating, as MMAU-Pro's script.
    """
    rows = [r for t in run.parts("grade").rows() for r in t.to_pylist()]
    evaluation = run.path_of("evaluation")
    asked = _asked(RunDir(evaluation)) if evaluation is not None else {}
    rule = run.record()["stages"]["grade"]["identity"]["rule"]
    conditions: dict[str, Any] = {}
    by_condition: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_condition[row["condition"]].append(row)
    for condition, graded in by_condition.items():
        known = {r["question_id"] for r in graded}
        lost = {q: category for q, category in asked.items() if q not in known}
        conditions[condition] = _measured(graded, lost, rule)
    return {"run": str(run.root), "rule": rule, "conditions": conditions}


def _asked(evaluation: RunDir) -> dict[str, str | None]:
    """Category of every question that was read, by its id."""
    columns = ["question_id", "question_type"]
    tables = evaluation.parts("questions").rows(columns=columns)
    return {r["question_id"]: r["question_type"] for t in tables for r in t.to_pylist()}


def _measured(rows: list[Row], lost: dict[str, str | None], rule: str) -> dict[str, Any]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["category"] or ""].append(row)
    missing: dict[str, int] = defaultdict(int)
    for category in lost.values():
        missing[category or ""] += 1
    everything = [*(_strict(r) for r in rows), *[0.0] * len(lost)]
    low, high = mean_interval(np.array(everything))
    return {
        "questions": len(everything),
        "score": float(np.mean(everything)),
        "interval": [low, high],
        "as_released": float(np.mean([_released(r, rule) for r in rows])) if rows else None,
        "lost": len(lost),
        "unreadable": sum(s is None for r in rows for s in r["scores"]),
        "categories": [
            {
                "category": name,
                "kinds": sorted({r["kind"] for r in groups[name]}),
                "questions": len(groups[name]) + missing[name],
                "score": sum(map(_strict, groups[name])) / (len(groups[name]) + missing[name]),
                "lost": missing[name],
            }
            for name in sorted(groups.keys() | missing.keys())
        ],
    }


def _strict(row: Row) -> float:
    return sum(s or 0.0 for s in row["scores"]) / len(row["scores"])


def _released(row: Row, rule: str) -> float:
    unread = NEUTRAL / HIGHEST if rule == "mmau-pro" and row["kind"] == OPEN else 0.0
    return sum(unread if s is None else s for s in row["scores"]) / len(row["scores"])
