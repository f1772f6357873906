"""Measures over all captions with bootstrap intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from avcurate.metrics.chair import intervals, measures
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row


def summarise_hallucination(run: RunDir) -> dict[str, Any]:
    """Measures over all captions with bootstrap intervals; for flagged input, how well the measures separate it."""
    rows = [r for t in run.parts("hallucination").rows() for r in t.to_pylist()]
    counts = np.array(
        [
            (
                len(r["mentions"]),
                sum(m["invented"] for m in r["mentions"]),
                any(m["invented"] for m in r["mentions"]),
                r["right"],
                r["found"],
                r["named"],
                len(r["truth"]),
            )
            for r in rows
        ],
        np.int64,
    ).reshape(-1, 7)
    summary: dict[str, Any] = {"run": str(run.root), "captions": len(rows)}
    values, bounds = measures(counts), intervals(counts)
    # an undefined ratio is null: NaN is not JSON
    summary["measures"] = {
        k: {"value": _number(v), "interval": [_number(x) for x in bounds[k]]} for k, v in values.items()
    }
    scored = [r["aloha"] for r in rows if r["aloha"] is not None]
    summary["aloha"] = {"mean": float(np.mean(scored)) if scored else None, "captions": len(scored)}
    summary["captioning"] = None
    if run.record()["recipe"].get("captioning"):
        compared = [r for r in rows if r["references"]]
        summary["captioning"] = {"captions": len(compared)}
        if compared:
            from avcurate.metrics.captioning import caption_measures

            texts, references = [r["caption"] for r in compared], [r["references"] for r in compared]
            summary["captioning"] |= caption_measures(texts, references)
    flagged = [r for r in rows if r["flag"] is not None]
    if flagged:
        summary["told_apart"] = _separation(flagged)
    return summary


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _separation(rows: list[Row]) -> dict[str, Any]:
    """How well an invented object, or a low ALOHa score, separates captions flagged as hallucinated from the rest."""
    truth = np.array([r["flag"] for r in rows])
    invented = np.array([any(m["invented"] for m in r["mentions"]) for r in rows])
    separation: dict[str, Any] = {
        "captions": len(rows),
        "hallucinated": int(truth.sum()),
        "chair": {
            "flagged_of_hallucinated": float(invented[truth].mean()) if truth.any() else None,
            "flagged_of_faithful": float(invented[~truth].mean()) if (~truth).any() else None,
        },
    }
    scores = [(r["aloha"], r["flag"]) for r in rows if r["aloha"] is not None]
    if scores and len({f for _, f in scores}) == 2:
        hallucinated = np.array([s for s, f in scores if f])
        faithful = np.array([s for s, f in scores if not f])
        auc = (faithful[:, None] > hallucinated[None]).mean() + 0.5 * (faithful[:, None] == hallucinated[None]).mean()
        separation["aloha_auc"] = float(auc)
    return separation
