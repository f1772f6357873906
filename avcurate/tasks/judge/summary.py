"""Summary of judged captions, and the drop in scores between two runs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from avcurate.errors import UserError
from avcurate.metrics.statistics import paired_interval, rank_correlations
from avcurate.runner.rundir import RunDir
from avcurate.tasks.judge.stage import MODALITIES


def summarise_judge(run: RunDir) -> dict[str, Any]:
    """Mean scores with intervals, what could not be read, spread between judgements, agreement with humans."""
    rows = [r for t in run.parts("judge").rows() for r in t.to_pylist()]
    summary: dict[str, Any] = {"run": str(run.root), "captions": len(rows)}
    for modality in MODALITIES:
        scores = np.array([r[f"{modality}_score"] for r in rows if r[f"{modality}_score"] is not None])
        asked = sum(len(r[f"{modality}_scores"]) for r in rows)
        paired = [
            (r[f"{modality}_score"], r[f"human_{modality}"])
            for r in rows
            if r[f"{modality}_score"] is not None and r[f"human_{modality}"] is not None
        ]
        mean, low, high = paired_interval(scores, np.zeros(len(scores))) if len(scores) else (None, None, None)
        spreads = [r[f"{modality}_spread"] for r in rows if r[f"{modality}_spread"] is not None]
        summary[modality] = {
            "captions": len(scores),
            "mean": mean,
            "interval": [low, high],
            "judgements": asked,
            "unparsed": sum(len(r[f"{modality}_unparsed"]) for r in rows),
            "unscored_captions": sum(bool(r[f"{modality}_scores"]) and r[f"{modality}_score"] is None for r in rows),
            "mean_spread": float(np.mean(spreads)) if spreads else None,
            "human": rank_correlations(*(np.array(x) for x in zip(*paired, strict=True))) if paired else None,
        }
    return summary


def compare_judged(ours: RunDir, theirs: RunDir) -> dict[str, Any]:
    """Drop in mean score from the other run to this one, per modality, over clips scored in both.

    Returns:
        ``{modality: {clips, ours, theirs, difference, interval, drop}}``; ``drop`` is relative to the other run.

    Raises:
        UserError: no clip was scored in both.
    """
    drops: dict[str, Any] = {}
    for modality in MODALITIES:
        scores = [_scores_by_clip(run, modality) for run in (ours, theirs)]
        clips = sorted(scores[0].keys() & scores[1].keys())
        if not clips:
            continue
        a, b = (np.array([np.mean(s[c]) for c in clips]) for s in scores)
        mean, low, high = paired_interval(a, b)
        drops[modality] = {
            "clips": len(clips),
            "ours": float(a.mean()),
            "theirs": float(b.mean()),
            "difference": mean,
            "interval": [low, high],
            "drop": float(-mean / b.mean()) if b.mean() else None,
        }
    if not drops:
        raise UserError(f"{ours.root} and {theirs.root} scored no clip in common.", "Judge captions of the same clips.")
    return drops


def _scores_by_clip(run: RunDir, modality: str) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = defaultdict(list)
    for table in run.parts("judge").rows(columns=["clip", f"{modality}_score"]):
        for row in table.to_pylist():
            if row[f"{modality}_score"] is not None:
                scores[row["clip"]].append(row[f"{modality}_score"])
    return scores
