"""Summary of a run, from its record, its commits and its narrow columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avcurate.metrics.statistics import wilson
from avcurate.runner.rundir import RunDir
from avcurate.schema import PEM, Setting


def summarise(run: RunDir) -> dict[str, Any]:
    """Counts per stage, label mix, correctness per setting and what early exit saved.

    ``settings`` counts responses, not questions; early exit makes them a biased sample of all
    questions under A and V (only those that AV solved are asked there).
    """
    record = run.record()
    stages = {
        name: {k: v for k, v in s.items() if k in ("in", "kept", "filtered", "dead")}
        for name, s in record["stages"].items()
        if s.get("complete")
    }
    label = record["stages"].get("label", {})
    mix = {k: int(n) for k, n in (label.get("facts") or record.get("mix", {})).items()}
    settings, saving = _settings(run, record)
    return {
        "run": str(run.root),
        "avcurate": record["avcurate"],
        "recipe": record.get("recipe", {}),
        "input": record.get("input", {}),
        "stages": stages,
        "labels": {str(p): mix.get(p, 0) for p in PEM},
        "discarded": {k: v for k, v in sorted(mix.items()) if k not in set(PEM)},
        "settings": settings,
        "early_exit": saving,
        "thresholds": label.get("identity", {}),
        "blind": _blind(run, record),
    }


def _blind(run: RunDir, record: dict[str, Any]) -> dict[str, Any] | None:
    """How many labelled questions are solved without their clip; ``None`` where that was not asked."""
    condition = record.get("recipe", {}).get("blind")
    if condition is None:
        return None
    solved: dict[str, list[bool]] = {str(p): [] for p in PEM}
    for table in run.parts("label").rows(columns=["pem", "solved_blind"]):
        for row in table.to_pylist():
            if row["pem"] is not None and row["solved_blind"] is not None:
                solved[row["pem"]].append(row["solved_blind"])
    return {
        "condition": condition,
        "labels": {name: {"questions": len(rows), "solved_blind": sum(rows)} for name, rows in solved.items()},
    }


def _tokens(run: RunDir, setting: str) -> int:
    """Tokens of all responses under a setting; nothing else of them is read."""
    total = 0
    parts = run.parts("sample")
    for commit in parts.commits():
        # the leaf alone: texts are nearly all there is on disk
        table = pq.ParquetFile(parts.file(commit.part)).read(columns=[f"{setting}_responses.list.element.tokens"])
        responses = table.column(0).combine_chunks().flatten()
        total += int(pc.sum(responses.field("tokens")).as_py() or 0) if len(responses) else 0
    return total


def _settings(run: RunDir, record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    n = record.get("recipe", {}).get("n", 0)
    columns = ["n"] + [f"{s}_{c}" for s in Setting for c in ("k", "asked", "answers", "consistency")]
    # runs of schema version 2 lack this column
    has_cut = f"{Setting.AV}_cut" in run.parts("score").columns()
    columns += [f"{s}_cut" for s in Setting] if has_cut else []
    tables = list(run.parts("score").rows(columns=columns))
    settings: dict[str, Any] = {}
    total_asked = exhaustive = 0
    given, wanted = 0.0, 0.0
    rows = sum(t.num_rows for t in tables)
    for s in Setting:
        asked = sum(int(np.sum(t.column(f"{s}_asked").to_numpy())) for t in tables)
        correct = sum(int(np.sum(t.column(f"{s}_k").to_numpy())) for t in tables)
        unread = sum(t.column(f"{s}_answers").combine_chunks().flatten().null_count for t in tables)
        low, high = wilson(correct, asked)
        settings[str(s)] = {
            "responses": asked,
            "right": correct,
            "accuracy": correct / asked if asked else None,
            "interval": [low, high],
            "unparseable": unread,
            "unparseable_rate": unread / asked if asked else None,
            "cut": sum(int(np.sum(t.column(f"{s}_cut").to_numpy())) for t in tables) if has_cut else None,
        }
        total_asked += asked
        exhaustive += n * rows
        tokens = _tokens(run, str(s))
        given, wanted = given + tokens, wanted + (n * rows * tokens / asked if asked else 0.0)
    seconds = record["stages"].get("sample", {}).get("engine_seconds")
    saving = {
        "on": record.get("recipe", {}).get("early_exit", False),
        "responses": total_asked,
        "exhaustive_responses": exhaustive,
        "saved": 1 - total_asked / exhaustive if exhaustive else 0.0,
        "tokens": round(given),
        # responses that were not asked are taken to be as long as the setting's others
        "exhaustive_tokens": round(wanted),
        "engine_seconds": seconds,
        "exhaustive_seconds": seconds * wanted / given if seconds and given else None,
    }
    return settings, saving
