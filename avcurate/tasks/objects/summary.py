"""Object sets in numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from avcurate.runner.rundir import RunDir


def summarise_objects(run: RunDir) -> dict[str, Any]:
    """How many clips have which objects, and what maps to nothing."""
    objects: Counter[str] = Counter()
    added: Counter[str] = Counter()
    unmapped: Counter[str] = Counter()
    clips = 0
    for table in run.parts("objects").rows(columns=["annotated", "detected", "objects", "unmapped"]):
        for row in table.to_pylist():
            clips += 1
            objects.update(row["objects"])
            added.update(set(row["detected"]) - set(row["annotated"]))
            unmapped.update(row["unmapped"])
    record = run.record()
    return {
        "run": str(run.root),
        "clips": clips,
        "threshold": record["stages"]["objects"]["identity"]["threshold"],
        "objects": dict(objects.most_common()),
        "only_detected": dict(added.most_common()),
        "unmapped": dict(unmapped.most_common()),
    }
