"""Whether labels keep their word: some questions asked again with other seeds, confidence against what repeats."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from avcurate.errors import UserError
from avcurate.metrics.calibration import reliability
from avcurate.runner.rundir import RunDir
from avcurate.schema import PEM
from avcurate.seeds import derive_seed
from avcurate.store.atomic import write_json
from avcurate.store.lock import writer_lock

FEWEST = 50
"""Questions asked again at least, where there are so many: fewer say little."""
FILE = "retest.json"


def chosen(run: RunDir, share: float, seed: int) -> list[str]:
    """Ids of a random share of the labelled questions, by seed; at least fifty where there are.

    Raises:
        UserError: the run has no labels.
    """
    labels = _labels(run)
    ids = sorted((i for i, (pem, _) in labels.items() if pem is not None), key=lambda i: derive_seed("retest", seed, i))
    if not ids:
        raise UserError(
            f"{run.root} has no labels to test.", "Give a finished run of label-pem that labelled something."
        )
    return ids[: max(min(FEWEST, len(ids)), math.ceil(share * len(ids)))]


def compare(run: RunDir, again: RunDir) -> dict[str, Any]:
    """Labels of a run against those of a second one, on the questions that both have.

    Returns:
        ``reliability`` of the first run's confidence, over all and by ``labels``; ``changes``: what labels became;
        ``lost``: labelled questions that the second run was given and did not finish.

    Raises:
        UserError: a run is not labelled, or they have no labelled question in common, or the same seed.
    """
    first, second = run.record()["recipe"], again.record()["recipe"]
    if first["seed"] == second["seed"] and first["sampling"]["temperature"] > 0:
        raise UserError(
            f"{again.root} was sampled with the same seed, so it repeats by design.", "Give another --seed."
        )
    ours, theirs = _labels(run), _labels(again)
    common = [i for i, (pem, confidence) in ours.items() if pem is not None and confidence is not None and i in theirs]
    if not common:
        raise UserError(
            f"{run.root} and {again.root} have no labelled question in common.", "Give a run of the same data."
        )
    stated = np.array([ours[i][1] for i in common], float)
    same = np.array([ours[i][0] == theirs[i][0] for i in common])
    pems = np.array([ours[i][0] for i in common])
    asked = set(second["run"]["only"]) or set(ours)
    return {
        "run": str(run.root),
        "again": str(again.root),
        "reliability": reliability(stated, same),
        "labels": {str(p): _brief(reliability(stated[pems == p], same[pems == p])) for p in PEM},
        "changes": [
            {"from": a, "to": b, "questions": n}
            for (a, b), n in Counter((ours[i][0], theirs[i][0] or "none") for i in common).most_common()
        ],
        "lost": sum(1 for i in asked if i in ours and ours[i][0] is not None and i not in theirs),
    }


def _brief(measures: dict[str, Any]) -> dict[str, Any]:
    return {k: measures[k] for k in ("n", "stated", "observed", "brier")}


def _labels(run: RunDir) -> dict[str, tuple[str | None, float | None]]:
    run.require("label", made_by="label-pem")
    labels: dict[str, tuple[str | None, float | None]] = {}
    for table in run.parts("label").rows(columns=["question_id", "pem", "confidence"]):
        labels |= {r["question_id"]: (r["pem"], r["confidence"]) for r in table.to_pylist()}
    return labels


def keep(run: RunDir, result: dict[str, Any]) -> Path:
    """Store a comparison beside the run's labels, for its report."""
    with writer_lock(run.root):
        write_json(run.root / FILE, result)
    return run.root / FILE


def kept(run: RunDir) -> dict[str, Any] | None:
    """The last comparison; ``None`` where there is none, or it cannot be read."""
    try:
        result: dict[str, Any] = json.loads((run.root / FILE).read_text("utf-8"))
        return result if isinstance(result.get("reliability"), dict) else None
    except (OSError, ValueError, AttributeError):
        return None


def figure(result: dict[str, Any]) -> dict[str, Any]:
    """The reliability curve, as pages draw it."""
    bins = result["reliability"]["bins"]
    observed = {
        "name": "a second sample agrees",
        "x": [b["stated"] for b in bins],
        "y": [b["observed"] for b in bins],
        "low": [b["interval"][0] for b in bins],
        "high": [b["interval"][1] for b in bins],
        "n": [b["n"] for b in bins],
    }
    ideal = {"name": "as stated", "x": [0.0, 1.0], "y": [0.0, 1.0], "low": [0.0, 1.0], "high": [0.0, 1.0], "n": [9, 9]}
    title, x, y = "Confidence against what repeats", "stated confidence", "share of labels that repeat"
    return {"kind": "curves", "title": title, "x": x, "y": y, "series": [observed, ideal]}


def print_retest(result: dict[str, Any]) -> None:
    """Print the comparison."""
    from rich.table import Table

    from avcurate.report.terminal import console

    out, whole = console(), result["reliability"]
    table = Table("confidence", "labels", "repeat", "95 %", title="Labels asked again", title_justify="left")
    for b in whole["bins"]:
        low, high = b["interval"]
        table.add_row(f"{b['stated']:.2f}", f"{b['n']:,}", f"{b['observed']:.1%}", f"{low:.1%} to {high:.1%}")
    out.print(table)
    for name, m in result["labels"].items():
        if m["n"]:
            out.print(f"{name}: {m['n']:,} labels, stated {m['stated']:.1%}, repeat {m['observed']:.1%}")
    out.print(
        f"All: {whole['n']:,} labels, stated {whole['stated']:.1%}, repeat {whole['observed']:.1%}; "
        f"Brier {whole['brier']:.3f}, mean gap {whole['ece']:.3f}."
    )
    if result["lost"]:
        out.print(
            f"{result['lost']:,} questions were not finished the second time; see `avcurate status {result['again']}`."
        )
