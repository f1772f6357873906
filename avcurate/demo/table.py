"""Eval runs on a demo world side by side: PEM accuracy, answers (by true PEM, under conflict), attention over time.

Under conflict: questions about numbers where picture and sound hold different ones, so that the wrong modality
suggests a wrong answer.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.schema import PEM
from avcurate.tasks.evaluate.answered import Answered
from avcurate.tasks.evaluate.attention import FILE, MODALITIES
from avcurate.tasks.evaluate.summary import read_eval

COUNTED = frozenset({"object_count", "sound_count"})


def measures(run: RunDir, truth: Path, condition: str = "av") -> dict[str, float]:
    """What one run reached, each in [0, 1].

    Raises:
        UserError: the run is not finished, lacks the condition, or used another world.
    """
    answered = read_eval(run).get(condition)
    if not answered:
        raise UserError(f"{run.root} has no answers under {condition!r}.", "Add --conditions av.")
    known = {str(t["id"]): t for t in map(json.loads, truth.read_text("utf-8").splitlines())}
    sources = {
        row["question_id"]: (row["source_id"], row["video_id"])
        for table in run.parts("eval").rows(columns=["question_id", "source_id", "video_id"])
        for row in table.to_pylist()
    }
    conflicting = list[Answered]()
    by_pem: dict[str, list[float]] = {str(p): [] for p in PEM}
    for answer in answered:
        source, video = sources[answer.question_id]
        item = known.get(source)
        if item is None or item["video_name"] != video:
            raise UserError(f"{run.root} used {video}, which {truth} has no entry for.", "Give its world.")
        if item["conflict"] and item["type"] in COUNTED:
            conflicting.append(answer)
        if item["pem"] in by_pem:
            by_pem[item["pem"]].append(answer.score)
    named = [(p, a.pem) for a in answered if a.pem for p in a.named]
    values = {
        "pem": mean(float(p == t) for p, t in named) if named else 0.0,
        "answers": mean(a.score for a in answered),
    }
    values |= {f"answers_{p}": mean(scores) for p, scores in by_pem.items() if scores}
    if conflicting:
        values["conflict"] = mean(a.score for a in conflicting)
    attention = run.root / FILE
    if attention.is_file():
        shares = json.loads(attention.read_text("utf-8"))
        for modality in MODALITIES if shares["condition"] == condition else ():
            for quarter, value in enumerate(shares[modality]["quarters"], 1):
                if value is not None:
                    values[f"{modality}_{quarter}"] = value
    return values


def table(groups: dict[str, list[Path]], truth: Path, condition: str = "av") -> list[dict[str, Any]]:
    """One row per group: mean of its runs (seeds) for each measure, and their standard deviation if there are several.

    Args:
        condition: what the model was shown.

    Returns:
        ``[{"name", "runs", measure: {"mean", "sd"}}]``; a measure that not every run has is left out.
    """
    rows = []
    for name, runs in groups.items():
        measured = [measures(RunDir(r), truth, condition) for r in runs]
        shared = [k for k in measured[0] if all(k in t for t in measured)]
        row: dict[str, Any] = {"name": name, "runs": len(runs)}
        for k in shared:
            values = [t[k] for t in measured]
            row[k] = {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else None}
        rows.append(row)
    return rows
