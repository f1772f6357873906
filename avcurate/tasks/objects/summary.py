"""Summary of object sets."""

from __future__ import annotations

from collections import Counter
from typing import Any

from avcurate.runner.rundir import RunDir


def summarise_objects(run: RunDir) -> dict[str, Any]:
    """Clips per object, and names outside the vocabulary."""
    objects: Counter[str] = Counter()
    only_detected: Counter[str] = Counter()
    unmapped: Counter[str] = Counter()
    clips = 0
    for table in run.parts("objects").rows(columns=["annotated", "detected", "objects", "unmapped"]):
        for row in table.to_pylist():
            clips += 1
            objects.update(row["objects"])
            only_detected.update(set(row["detected"]) - set(row["annotated"]))
            unmapped.update(row["unmapped"])
    record = run.record()
    return {
        "run": str(run.root),
        "clips": clips,
        "threshold": record["stages"]["objects"]["identity"]["threshold"],
        "objects": dict(objects.most_common()),
        "only_detected": dict(only_detected.most_common()),
        "unmapped": dict(unmapped.most_common()),
    }
