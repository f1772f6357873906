"""Relabelling from stored responses with other thresholds: new labels, what changed, and a sweep."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from avcurate.errors import UserError
from avcurate.metrics.calibration import Cut, cut_for
from avcurate.metrics.pem import UNDECIDED
from avcurate.metrics.threshold import Proposal, propose_threshold
from avcurate.runner.rundir import RunDir
from avcurate.runner.tables import run_table
from avcurate.runner.tally import Watch, no_progress
from avcurate.schema import PEM, Setting
from avcurate.store.lock import writer_lock
from avcurate.tasks.label_pem.labels import COLUMNS, LabelStage, Thresholds, label_table

SWEEP_ACC = (0.625, 0.75, 0.875, 1.0)
SWEEP_COT = (-1.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
SCORE_COLUMNS = ["row", "n", *[f"{s}_{c}" for s in Setting for c in ("k", "asked", "consistency")]]


def relabel_run(
    run: RunDir,
    tau_acc: float | None,
    tau_cot: float | None,
    watch: Watch = no_progress,
    *,
    min_confidence: float | None = None,
    precision: float | None = None,
) -> dict[str, Any]:
    """Relabel a run; thresholds that are not given stay as they are.

    Args:
        run: whose scored rows are labelled.
        tau_acc: correctness threshold; tau_cot: consistency threshold.
        watch: called as parts are done.
        min_confidence: least confidence of a label; precision: instead of it, what share of the labels a new sample
            should repeat: the least confidence that is expected to give it is used.

    Returns:
        ``before`` and ``after`` thresholds, ``rows``, ``changed``, ``undecided`` and the ``changes`` by kind; with a
        precision also ``cut``: the confidence, the expected precision, and how many labels are kept of how many.

    Raises:
        UserError: nothing has been scored yet, or no confidence gives the precision.
    """
    with writer_lock(run.root):
        record = run.record()
        if not run.parts("score").commits():
            raise UserError(f"{run.root} has no scored rows yet.", "Run `avcurate label-pem` first.")
        if record.get("schema_version", 0) >= 3:
            run.require("sample", "score", made_by="label-pem")
        before = _thresholds(record)
        after = Thresholds(
            before.tau_acc if tau_acc is None else tau_acc,
            before.tau_cot if tau_cot is None else tau_cot,
            before.min_confidence if min_confidence is None else min_confidence,
        )
        cut = None if precision is None else _cut(run, after, precision)
        if cut is not None:
            after = replace(after, min_confidence=cut.confidence)
        changes: Counter[tuple[str, str]] = Counter()
        old = {
            c.part: _labels(run.parts("label").read(c.part, columns=["pem", "discard_reason"]))
            for c in run.parts("label").commits()
        }
        stage = LabelStage(after, blind="blind_k" in run.parts("score").columns())
        # labels of both thresholds coexist until this is done
        record.pop("complete", None)
        record["stages"].setdefault("label", {}).pop("complete", None)
        run.save(record)
        tally, facts = run_table(stage, run.parts("score"), run.parts("label"), watch)
        entry = record["stages"].setdefault("label", {})
        entry |= {"table": "label", "identity": stage.identity(), "facts": facts, "complete": True}
        entry |= {"in": tally.total, "kept": tally.kept, "filtered": {}, "dead": {}}
        # later runs, e.g. `retry`, must not restore the old thresholds
        recipe = record["recipe"]
        recipe["tau_acc"], recipe["embedder"]["tau_cot"] = after.tau_acc, after.tau_cot
        recipe["min_confidence"] = after.min_confidence
        # completes an interrupted relabel, too: all earlier stages are complete
        record["complete"] = True
        run.save(record)
        for commit in run.parts("label").commits():
            new = _labels(run.parts("label").read(commit.part, columns=["pem", "discard_reason"]))
            changes.update(zip(old.get(commit.part, ["(none)"] * len(new)), new, strict=True))
    moved = {k: n for k, n in changes.items() if k[0] != k[1]}
    return {
        "before": asdict(before),
        "after": asdict(after),
        "rows": sum(changes.values()),
        "changed": sum(moved.values()),
        "undecided": sum(n for (_, to), n in changes.items() if to == f"none: {UNDECIDED}"),
        **({} if cut is None else {"cut": asdict(cut)}),
        "changes": [{"before": a, "after": b, "rows": n} for (a, b), n in sorted(moved.items(), key=lambda kv: -kv[1])],
    }


def _cut(run: RunDir, thresholds: Thresholds, precision: float) -> Cut:
    table = _scored(run, COLUMNS)
    every = label_table(table, replace(thresholds, min_confidence=0.0))
    cut = cut_for(precision, every.column("confidence").to_numpy(zero_copy_only=False).astype(float))
    if not cut.kept:
        raise UserError(
            f"no label of {run.root} is sure enough for a precision of {precision:g}.",
            "Ask for less, or sample more responses (--n).",
        )
    return cut


def _scored(run: RunDir, columns: list[str]) -> pa.Table:
    """Those of some columns of all scored rows that the run has.

    Raises:
        UserError: nothing has been scored yet.
    """
    present = run.parts("score").columns()
    tables = list(run.parts("score").rows(columns=[c for c in columns if c in present]))
    if not tables:
        raise UserError(f"{run.root} has no scored rows yet.", "Run `avcurate label-pem` first.")
    return pa.concat_tables(tables)


def _labels(table: pa.Table) -> list[str]:
    pem, reason = table.column("pem").to_pylist(), table.column("discard_reason").to_pylist()
    return [p or f"none: {r}" for p, r in zip(pem, reason, strict=True)]


def load_truth(path: Path) -> dict[int, str | None]:
    """True PEM by record number (1-based) of a demo world's questions.

    Raises:
        UserError: the file is not a demo world's truth.
    """
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return {int(r["id"]) + 1: r["pem"] for r in rows}
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(
            f"{path} is not a truth.jsonl: {e}", "Give the file that `avcurate demo build` wrote."
        ) from None


def agreement(pem: list[str | None], truth: list[str | None]) -> dict[str, float]:
    """Precision and recall of each label."""
    scores: dict[str, float] = {}
    for name in PEM:
        correct = sum(p == t == str(name) for p, t in zip(pem, truth, strict=True))
        scores[f"{name}_precision"] = correct / max(1, sum(p == str(name) for p in pem))
        scores[f"{name}_recall"] = correct / max(1, sum(t == str(name) for t in truth))
    return scores


def sweep_run(run: RunDir, truth_file: Path | None = None) -> list[dict[str, Any]]:
    """Label counts at every pair of thresholds; with a truth file, also precision and recall."""
    table = _scored(run, ["row", *COLUMNS])
    truth = None
    if truth_file is not None:
        truth_by_row = load_truth(truth_file)
        truth = [truth_by_row.get(r) for r in table.column("row").to_pylist()]
    rows = []
    for tau_acc in SWEEP_ACC:
        for tau_cot in SWEEP_COT:
            labelled = label_table(table, Thresholds(tau_acc, tau_cot))
            pem = labelled.column("pem").to_pylist()
            row: dict[str, Any] = {"tau_acc": tau_acc, "tau_cot": tau_cot}
            row |= {str(p): int(np.sum([x == str(p) for x in pem])) for p in PEM}
            row["undecided"] = sum(x == UNDECIDED for x in labelled.column("discard_reason").to_pylist())
            if truth is not None:
                row |= agreement(pem, truth)
            rows.append(row)
    return rows


def propose_tau_cot(run: RunDir, tau_acc: float | None = None) -> Proposal:
    """A tau_cot from the consistencies of all settings that are right often enough, by default as the run labels."""
    tau_acc = _thresholds(run.record()).tau_acc if tau_acc is None else tau_acc
    values: list[float] = []
    for table in run.parts("score").rows(columns=SCORE_COLUMNS):
        for row in table.to_pylist():
            values += [
                row[f"{s}_consistency"]
                for s in Setting
                if row[f"{s}_consistency"] is not None and (row[f"{s}_k"] or 0) >= tau_acc * row["n"]
            ]
    return propose_threshold(values)


def _thresholds(record: dict[str, Any]) -> Thresholds:
    """Those that a run was last labelled with, or its recipe's."""
    recipe = record["recipe"]
    stored = record["stages"].get("label", {}).get("identity") or {
        "tau_acc": recipe["tau_acc"],
        "tau_cot": recipe["embedder"]["tau_cot"],
    }
    return Thresholds(stored["tau_acc"], stored["tau_cot"], stored.get("min_confidence", 0.0))


def confusion(run: RunDir, truth_file: Path) -> dict[str, Any]:
    """Labels of a run against a demo world's truth: counts, precision, recall and confidence by outcome."""
    truth = load_truth(truth_file)
    counts: Counter[tuple[str, str]] = Counter()
    pem: list[str | None] = []
    true_pem: list[str | None] = []
    for table in run.parts("label").rows(columns=["row", "pem"]):
        for row in table.to_pylist():
            pem.append(row["pem"])
            true_pem.append(truth.get(row["row"]))
            counts[true_pem[-1] or "none", row["pem"] or "none"] += 1
    names = [*map(str, PEM), "none"]
    return {
        "confusion": {t: {p: counts[t, p] for p in names} for t in names},
        **agreement(pem, true_pem),
    }
