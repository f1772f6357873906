"""Offline HTML report of a run: what happened to every row, the labels, and examples to listen to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from avcurate.metrics.pem import ABOUT
from avcurate.report.page import write_page
from avcurate.report.plots import drawn
from avcurate.report.terminal import SETTING_NAMES
from avcurate.runner.rundir import RunDir
from avcurate.schema import PEM, Setting
from avcurate.tasks.label_pem.retest import figure, kept

EXAMPLES_PER_LABEL = 4
MAX_POINTS = 1500
CHART = {"width": 300, "height": 220, "margin": 34}


def write_report(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html`` into the run directory; text is escaped, clips are linked in place."""
    retest = kept(run)
    return write_page(
        run.root / "report.html",
        __package__,
        summary=summary,
        pems=[str(p) for p in PEM],
        total=sum(summary["labels"].values()) + sum(summary["discarded"].values()),
        about=ABOUT,
        setting_names=SETTING_NAMES,
        charts=[_scatter(run, s, summary["thresholds"]) for s in Setting],
        examples=_examples(run, summary),
        dead=_dead(run),
        retest=retest,
        curve=None if retest is None else drawn(figure(retest)),
    )


def _scatter(run: RunDir, setting: Setting, thresholds: dict[str, Any]) -> dict[str, Any]:
    """Correctness against consistency of one setting, with the thresholds as lines."""
    columns = [f"{setting}_k", f"{setting}_asked", f"{setting}_consistency", "n", "pem"]
    points: list[dict[str, Any]] = []
    total = 0
    width, height, margin = CHART["width"], CHART["height"], CHART["margin"]

    def x(value: float) -> float:
        return round(margin + value * (width - margin - 8), 1)

    def y(value: float) -> float:
        return round(height - margin - max(0.0, value) * (height - margin - 8), 1)

    for table in run.parts("label").rows(columns=columns):
        for row in table.to_pylist():
            if row[columns[2]] is None or row[columns[1]] < row["n"]:
                continue
            total += 1
            if len(points) < MAX_POINTS:
                # questions overlap; a fixed jitter keeps them apart
                jitter = ((len(points) * 0.618) % 1 - 0.5) * 0.05
                rate = row[columns[0]] / row[columns[1]]
                points.append({"x": x(min(1, max(0, rate + jitter))), "y": y(row[columns[2]]), "pem": row["pem"]})
    return {
        **CHART,
        "name": SETTING_NAMES[str(setting)],
        "points": points,
        "total": total,
        "line_x": x(thresholds.get("tau_acc", 0)),
        "line_y": y(thresholds.get("tau_cot", 0)),
        "ticks_x": [(x(v), f"{v:g}") for v in (0, 0.25, 0.5, 0.75, 1)],
        "ticks_y": [(y(v), f"{v:g}") for v in (0, 0.25, 0.5, 0.75, 1)],
    }


def _examples(run: RunDir, summary: dict[str, Any]) -> list[dict[str, Any]]:
    media_root = (run.path_of("media") or Path()).resolve()
    quota = {name: EXAMPLES_PER_LABEL for name in (*summary["labels"], *summary["discarded"])}
    examples: dict[str, list[dict[str, Any]]] = {name: [] for name in quota}
    for table in run.parts("label").rows():
        for row in table.to_pylist():
            label = row["pem"] or row["discard_reason"]
            if len(examples[label]) < quota[label]:
                examples[label].append(_example(row, label, media_root, run.root))
        if all(len(examples[k]) >= min(v, _count(summary, k)) for k, v in quota.items()):
            break
    return [e for group in examples.values() for e in group]


def _count(summary: dict[str, Any], label: str) -> int:
    return int(summary["labels"].get(label, summary["discarded"].get(label, 0)))


def _example(row: dict[str, Any], label: str, media_root: Path, run_root: Path) -> dict[str, Any]:
    relative = os.path.relpath(media_root / row["media"], run_root.resolve())
    settings = []
    for s in Setting:
        responses = row[f"{s}_responses"] or []
        answers = row[f"{s}_answers"] or []
        settings.append(
            {
                "name": SETTING_NAMES[str(s)],
                "solved": row[f"{s}_solved"],
                "k": row[f"{s}_k"],
                "asked": row[f"{s}_asked"],
                "consistency": row[f"{s}_consistency"],
                "responses": [
                    {"text": r["text"], "answer": a, "right": ok}
                    for r, a, ok in zip(responses, answers, row[f"{s}_correct"] or [], strict=False)
                ],
            }
        )
    return {
        "label": label,
        "is_pem": row["pem"] is not None,
        "id": row["question_id"],
        "media": row["media"],
        "src": quote(relative),
        "question": row["question"],
        "choices": row["choices"],
        "answer": row["answer"],
        "confidence": row["confidence"],
        "settings": settings,
    }


def _dead(run: RunDir, limit: int = 50) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for stage in ("questions", "sample", "score"):
        for table in run.parts(stage).rows("dead"):
            rows += table.slice(0, limit - len(rows)).to_pylist()
            if len(rows) >= limit:
                return rows
    return rows
