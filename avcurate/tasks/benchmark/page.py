"""A benchmark in the terminal, and as a page that plays random questions of each task."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from avcurate.report.clips import shown
from avcurate.report.page import write_page
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.runner.status import stage_counts
from avcurate.seeds import derive_seed

PER_TASK = 4


def print_benchmark(summary: dict[str, Any], console: Console) -> None:
    """Print the tables, and where the benchmark is."""
    for table in _tables(summary):
        printed = Table(*table["columns"], title=table["title"], title_justify="left")
        for row in table["rows"]:
            printed.add_row(*row)
        console.print(printed)
    console.print(f"{summary['questions']:,} questions, {summary['files']:,} clips: {summary['folder']}")
    if summary["files"]:
        console.print(f"Next: avcurate eval {summary['folder']} -m MODEL -o runs/eval")
    elif not summary["clips_left_out"].get("looked"):
        console.print("No clip was made: add --media to make them.")


def _tables(summary: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [
        [
            t["task"],
            t["decided_by"],
            f"{t['questions']:,}",
            f"{t['clips']:,}",
            f"{t['names']:,}",
            *("–" if t[k] is None else f"{t[k]:,}" for k in ("yes", "no")),
            f"{t['most_frequent_answer']:.2f}",
        ]
        for t in summary["tasks"]
    ]
    columns = ["task", "decided by", "questions", "clips", "names", "Yes", "No", "most frequent answer"]
    tables = [{"title": "Questions", "columns": columns, "rows": rows}]
    counted = (
        ("How the absent thing was chosen", "kind", summary["negatives"]),
        ("Questions by edit", "edit", summary["edits"]),
        ("Questions left out", "reason", summary["left_out"]),
        (
            "Clips left out",
            "reason",
            {f"{s}: {r}": n for s, c in summary["clips_left_out"].items() for r, n in c.items()},
        ),
    )
    for title, what, counts in counted:
        listed = [[k, f"{n:,}"] for k, n in sorted(counts.items(), key=lambda x: -x[1])]
        if listed:
            tables.append({"title": title, "columns": [what, "number"], "rows": listed})
    if summary["duplicates"]:
        pairs = [[", ".join(names)] for names in summary["duplicates"][:50]]
        tables.append({"title": "Clips that sound alike", "columns": ["clips"], "rows": pairs})
    return tables


def write_benchmark_page(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html``; text is escaped, clips are linked in place."""
    return write_page(
        run.root / "report.html",
        __package__,
        summary=summary | {"stages": stage_counts(run.record())},
        tables=_tables(summary),
        examples=_examples(run),
    )


def _examples(run: RunDir) -> list[dict[str, Any]]:
    """Questions drawn at random, some of each task; of pairs both sides."""
    by_task: dict[str, list[Row]] = defaultdict(list)
    other: dict[str, Row] = {}
    for table in run.parts("make").rows():
        for row in table.to_pylist():
            if row["side"] == "counterfactual":
                other[row["pair"]] = row
            else:
                by_task[f"{row['task']}{' in pairs' if row['pair'] else ''}"].append(row)
    rng = random.Random(derive_seed("benchmark-page", run.root.name))
    folder = run.root / "benchmark"
    originals = run.path_of("media")
    examples = []
    for title, rows in sorted(by_task.items()):
        for row in rng.sample(rows, min(PER_TASK, len(rows))):
            sides = [row, *([other[row["pair"]]] if row["pair"] in other else [])]
            described = [
                {
                    "clip": _clip(run, s, folder, originals),
                    "edit": s["edit"],
                    "donor": s["donor"],
                    "answer": s["answer"],
                    "evidence": s["evidence"],
                }
                for s in sides
            ]
            examples.append(
                {
                    "task": title,
                    "clip": row["clip"],
                    "question": row["question"],
                    "choices": row["choices"],
                    "sides": described,
                }
            )
    return examples


def _clip(run: RunDir, row: Row, folder: Path, originals: Path | None) -> dict[str, Any] | None:
    path = folder / row["file"] if row["file"] else originals / row["media"] if originals and row["media"] else None
    return None if path is None else shown(path, run.root)
