"""Eval runs on a demo world side by side: PEM accuracy, answers, answers under conflict, attention over the response.

Under conflict are the questions on numbers where picture and sound hold different ones, so that the wrong modality
has a wrong answer ready.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.tasks.evaluate.attention import FILE, MODALITIES
from avcurate.tasks.evaluate.summary import Answered, read_eval

COUNTED = frozenset({"object_count", "sound_count"})


def measures(run: RunDir, truth: Path, condition: str = "av") -> dict[str, float]:
    """What one run reached, each in [0, 1].

    Raises:
        UserError: the run is not finished, did not ask under the condition, or asked another world.
    """
    answered = read_eval(run).get(condition)
    if not answered:
        raise UserError(f"{run.root} did not ask under {condition!r}.", "Add --conditions av.")
    known = {str(t["id"]): t for t in map(json.loads, truth.read_text("utf-8").splitlines())}
    sources = {
        row["question_id"]: (row["source_id"], row["video_id"])
        for table in run.parts("eval").rows(columns=["question_id", "source_id", "video_id"])
        for row in table.to_pylist()
    }
    conflicting = list[Answered]()
    for one in answered:
        source, video = sources[one.question_id]
        told = known.get(source)
        if told is None or told["video_name"] != video:
            raise UserError(f"{run.root} asked {video}, which {truth} has no entry for.", "Give its world.")
        if told["conflict"] and told["type"] in COUNTED:
            conflicting.append(one)
    named = [(p, a.pem) for a in answered if a.pem for p in a.named]
    found = {
        "pem": mean(float(p == t) for p, t in named) if named else 0.0,
        "answers": mean(a.score for a in answered),
    }
    if conflicting:
        found["conflict"] = mean(a.score for a in conflicting)
    attention = run.root / FILE
    if attention.is_file():
        told = json.loads(attention.read_text("utf-8"))
        for modality in MODALITIES if told["condition"] == condition else ():
            for quarter, value in enumerate(told[modality]["quarters"], 1):
                if value is not None:
                    found[f"{modality}_{quarter}"] = value
    return found


def table(groups: dict[str, list[Path]], truth: Path) -> list[dict[str, Any]]:
    """One row per group: mean of its runs (seeds) for each measure, and their standard deviation where there are more.

    Returns:
        ``[{"name", "runs", measure: {"mean", "sd"}}]``; a measure that not every run has is left out.
    """
    rows = []
    for name, runs in groups.items():
        told = [measures(RunDir(r), truth) for r in runs]
        shared = [k for k in told[0] if all(k in t for t in told)]
        row: dict[str, Any] = {"name": name, "runs": len(runs)}
        for k in shared:
            values = [t[k] for t in told]
            row[k] = {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else None}
        rows.append(row)
    return rows
