"""Summary of a pair run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from avcurate.metrics.pairing import REASONS
from avcurate.runner.rundir import RunDir


def summarise_pair(run: RunDir) -> dict[str, Any]:
    """Number of pairs, their similarities, and why donors were refused."""
    columns = ["audio_similarity", "video_similarity", "margin", "refused", "looked_at"]
    rows = [r for t in run.parts("pair").rows(columns=columns) for r in t.to_pylist()]
    refused: Counter[str] = Counter()
    for row in rows:
        refused.update({r["reason"]: r["donors"] for r in row["refused"]})
    summary: dict[str, Any] = {"run": str(run.root), "pairs": len(rows), "pairs_file": str(run.root / "pairs.jsonl")}
    for name in ("audio_similarity", "video_similarity", "margin"):
        values = np.array([r[name] for r in rows if r[name] is not None])
        summary[name] = {"mean": float(values.mean()), "most": float(values.max())} if len(values) else None
    summary["donors_looked_at"] = sum(r["looked_at"] for r in rows)
    summary["donors_refused"] = {k: refused[k] for k in REASONS if refused[k]}
    return summary
