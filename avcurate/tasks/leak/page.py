"""What a benchmark leaks, in the terminal and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from avcurate.report.page import write_page
from avcurate.runner.rundir import RunDir
from avcurate.tasks.leak.stages import CONDITIONS

SHOWN = 60


def print_leak(summary: dict[str, Any], console: Console) -> None:
    """Print the tables, and where the subset is."""
    for table in _tables(summary):
        printed = Table(*table["columns"], title=table["title"], title_justify="left")
        for row in table["rows"]:
            printed.add_row(*row)
        console.print(printed)
    if summary["subset"] is not None:
        console.print(
            f"{summary['subset']:,} of {summary['questions']:,} questions need what they claim: "
            f"{summary['run']}/subset.jsonl"
        )


def _tables(summary: dict[str, Any]) -> list[dict[str, Any]]:
    asked = summary["model"] is not None
    columns = ["questions", "n", "text reader", "95 %", "chance"]
    columns += [f"solved under {c}" for c in CONDITIONS] if asked else []
    columns += ["need what they claim"]
    rows = []
    for g in summary["groups"]:
        low, high = g["text_reader_interval"]
        row = [g["group"], f"{g['questions']:,}", _share(g["text_reader"]), f"{low:.3f} to {high:.3f}"]
        row.append(_share(g["chance"]))
        row += [_share(g[c]) for c in CONDITIONS] if asked else []
        rows.append([*row, _share(g["needs_it"])])
    title = f"{summary['model']}, solved: at least {summary['tau']:g} of responses right" if asked else "text alone"
    tables = [{"title": title, "columns": columns, "rows": rows}]
    if asked:
        funnel = [[s["step"], f"{s['questions']:,}"] for s in summary["funnel"]]
        tables.append({"title": "What is left", "columns": ["step", "questions"], "rows": funnel})
    return tables


def write_leak_page(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html``; text is escaped."""
    examples: list[dict[str, Any]] = []
    columns = ["question", "choices", "answer", "leaks", "text_probability", "stated_modality"]
    for table in run.parts("leak").rows(columns=columns):
        for row in table.to_pylist():
            if row["leaks"] or row["text_probability"] >= 0.9:
                examples.append(row)
    examples.sort(key=lambda r: (-len(r["leaks"]), -r["text_probability"]))
    return write_page(
        run.root / "report.html", __package__, summary=summary, tables=_tables(summary), examples=examples[:SHOWN]
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
