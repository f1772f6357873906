"""Offline HTML report of a run: what happened to every row, the labels, and examples to listen to."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from avcurate.metrics.pem import ABOUT
from avcurate.report.clips import shown
from avcurate.report.page import write_page
from avcurate.report.plots import drawn
from avcurate.report.terminal import SETTING_NAMES
from avcurate.runner.rundir import RunDir
from avcurate.schema import PEM, Setting
from avcurate.seeds import derive_seed
from avcurate.tasks.label_pem.retest import figure, kept
from avcurate.tasks.label_pem.view import steps

EXAMPLES_PER_LABEL, MOST_GROUPS = 4, 12
# of the reasons for no label, so that they differ from each other and from labels
SHADES = ("#94a3b8", "#64748b", "#cbd5e1", "#475569", "#a8a29e", "#78716c")
MAX_POINTS = 1500
CHART = {"width": 300, "height": 220, "margin": 34}


def write_report(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html`` into the run directory; text is escaped, clips are linked in place."""
    retest = kept(run)
    shades = {reason: SHADES[i % len(SHADES)] for i, reason in enumerate(summary["discarded"])}
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
        groups=_groups(run),
        cost=_cost(run),
        took=_took(run.record()),
        shades=shades,
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
    """Some questions of each label and of each reason for none, drawn by seed."""
    media_root = run.path_of("media") or Path()
    seed = summary["recipe"].get("seed", 0)
    ranked: dict[str, list[tuple[int, str]]] = {name: [] for name in (*summary["labels"], *summary["discarded"])}
    for table in run.parts("label").rows(columns=["question_id", "pem", "discard_reason"]):
        for row in table.to_pylist():
            key = derive_seed("example", seed, row["question_id"])
            ranked[row["pem"] or row["discard_reason"]].append((key, row["question_id"]))
    wanted = {i: name for name, group in ranked.items() for _, i in sorted(group)[:EXAMPLES_PER_LABEL]}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ranked}
    for table in run.parts("label").rows():
        chosen = table.filter(pc.is_in(table["question_id"], pa.array(list(wanted), pa.string())))
        for row in chosen.to_pylist():
            label = wanted[row["question_id"]]
            found[label].append(_example(row, label, media_root, run.root))
    return [e for group in found.values() for e in group]


def _groups(run: RunDir) -> list[dict[str, Any]]:
    """Labels by question type and by source, where there is more than one: a table each, the most frequent first."""
    counts: dict[str, dict[str, Counter[str]]] = {"question_type": {}, "source": {}}
    for table in run.parts("label").rows(columns=["question_type", "source", "pem"]):
        for row in table.to_pylist():
            for column, groups in counts.items():
                groups.setdefault(str(row[column] or "–"), Counter())[row["pem"] or "none"] += 1
    tables = []
    for column, groups in counts.items():
        if len(groups) > 1:
            ordered = sorted(groups.items(), key=lambda g: -g[1].total())[:MOST_GROUPS]
            names = [*map(str, PEM), "none"]
            rows = [[name, str(c.total()), *(f"{c[n] / c.total():.0%}" for n in names)] for name, c in ordered]
            title = f"By {column.replace('_', ' ')}" + (
                f", {MOST_GROUPS} of {len(groups)}" if len(groups) > MOST_GROUPS else ""
            )
            tables.append({"title": title, "columns": [column.replace("_", " "), "questions", *names], "rows": rows})
    return tables


def _cost(run: RunDir) -> list[list[str]]:
    """Questions that a setting was not asked of, responses, and tokens; by setting."""
    columns = [f"{s}_{c}" for s in Setting for c in ("asked", "prompt_tokens", "responses")]
    sums = {str(s): [0, 0, 0, 0] for s in Setting}
    for table in run.parts("label").rows(columns=columns):
        for s, total in sums.items():
            asked = table[f"{s}_asked"].fill_null(0).to_numpy()
            prompts = table[f"{s}_prompt_tokens"].fill_null(0).to_numpy()
            tokens = pc.struct_field(pc.list_flatten(table[f"{s}_responses"]), "tokens")
            total[0] += int((asked == 0).sum())
            total[1] += int(asked.sum())
            total[2] += int(prompts[asked > 0].sum())
            total[3] += int(pc.sum(tokens).as_py() or 0)
    return [[SETTING_NAMES[s], *(f"{n:,}" for n in total)] for s, total in sums.items()]


def _took(record: dict[str, Any]) -> str:
    """Wall time from the run's first record to its last, pauses included."""
    try:
        taken = datetime.fromisoformat(record["updated"]) - datetime.fromisoformat(record["created"])
    except (KeyError, ValueError, TypeError):
        return ""
    return str(taken)


def _example(row: dict[str, Any], label: str, media_root: Path, run_root: Path) -> dict[str, Any]:
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
        "clip": shown(media_root / row["media"], run_root, row["start"], row["end"]),
        "steps": steps(row),
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
