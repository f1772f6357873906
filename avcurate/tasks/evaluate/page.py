"""Evaluation results in the terminal, in Markdown and as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from avcurate.report.page import write_page
from avcurate.store.atomic import write_text

HEAD = ("condition", "task", "questions", "accuracy", "95 %", "precision", "recall", "F1", "Yes", "unreadable", "PEM")
VERSUS = ("condition", "questions of", "n", "this run", "other run", "difference", "95 %", "McNemar p")


def lines_of(summary: dict[str, Any]) -> list[list[str]]:
    """One line per condition and task; averages over AVHBench's tasks as reported in the papers."""
    lines = []
    for name, measures in summary["conditions"].items():
        groups = {"all": measures["all"], **(measures["tasks"] if len(measures["tasks"]) > 1 else {})}
        for task, m in groups.items():
            lines.append(
                [
                    name if task == "all" else "",
                    task or "–",
                    str(m["questions"]),
                    _percent(m["accuracy"]),
                    _range(m["interval"]),
                    *(_percent(m.get(k)) for k in ("precision", "recall", "f1", "yes_rate", "unparseable")),
                    _percent(measures["pem_accuracy"]) if task == "all" else "",
                ]
            )
        if measures["all"]["lost"]:
            lines.append(["", "of these not asked (wrong)", str(measures["all"]["lost"]), *[""] * 8])
        official = measures.get("official", {})
        if "rule" in official:
            cells = [_percent(official["accuracy"]), _range(official["interval"]), *[""] * 6]
            lines.append(["", f"by {official['rule']}'s rule", str(measures["all"]["questions"]), *cells])
        for kind, share in measures.get("masks", {}).items():
            lines.append(["", f"MAAM {kind}", "", _percent(share), *[""] * 7])
        if "avhbench" in measures:
            lines.append(["", "AVHBench Avg.", "", _percent(measures["avhbench"]), *[""] * 7])
    return lines


GROUPS = ("condition", "field", "value", "questions", "ours", "benchmark's rule")


def group_lines(summary: dict[str, Any]) -> list[list[str]]:
    """One line per condition and group that the benchmark reports by."""
    return [
        [name, g["field"], g["value"], str(g["questions"]), _percent(g["ours"]), _percent(g["official"])]
        for name, measures in summary["conditions"].items()
        for g in measures.get("official", {}).get("by", ())
    ]


SELECTION = ("of answers to conflicting clips", "share", "95 %")


def selection_lines(summary: dict[str, Any]) -> list[list[str]]:
    """Which modality answers follow; none where no clip conflicts."""
    rates = summary["selection"]
    if not rates or not rates["n"]:
        return []
    ways = {k: v for k, v in rates.items() if k != "n"}
    return [[f"follow {way}", _percent(r["rate"]), _range(r["interval"])] for way, r in ways.items()]


def further_tables(summary: dict[str, Any]) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    """Tables beside the main one that have lines."""
    rates = summary["selection"] or {"n": 0}
    tables = [
        ("By the benchmark's own groups", GROUPS, group_lines(summary)),
        (f"Sound alone and picture alone answered apart: {rates['n']:,} answers", SELECTION, selection_lines(summary)),
    ]
    return [t for t in tables if t[2]]


def versus_lines(compared: dict[str, Any]) -> list[list[str]]:
    """One line per condition and group of questions."""
    return [
        [
            name if group == "all" else "",
            group,
            str(d["n"]),
            _percent(d["ours"]),
            _percent(d["theirs"]),
            f"{100 * d['difference']:+.1f}",
            _range(d["interval"], "+"),
            "–" if d["mcnemar"] is None else f"{d['mcnemar']:.2g}",
        ]
        for name, groups in compared.items()
        for group, d in groups.items()
    ]


def print_evaluation(summary: dict[str, Any], compared: dict[str, Any] | None, other: str, console: Console) -> None:
    """Print both tables."""
    _print(console, f"{summary['model']}", HEAD, lines_of(summary))
    for title, head, lines in further_tables(summary):
        _print(console, title, head, lines)
    if summary["records_lost"]:
        console.print(f"{summary['records_lost']:,} records never became questions; they are in no number above.")
    if compared:
        _print(console, f"against {other}", VERSUS, versus_lines(compared))


def _print(console: Console, title: str, head: tuple[str, ...], lines: list[list[str]]) -> None:
    table = Table(*head, title=title, title_justify="left")
    for line in lines:
        table.add_row(*line)
    console.print(table)


def write_evaluation(root: Path, summary: dict[str, Any], compared: dict[str, Any] | None, other: str) -> Path:
    """Write ``report.md`` and ``report.html`` into the run; returns the page."""
    tables = [(summary["model"], HEAD, lines_of(summary)), *further_tables(summary)]
    if compared:
        tables.append((f"against {other}", VERSUS, versus_lines(compared)))
    text = "\n\n".join(f"### {_cell(title)}\n\n{_markdown(head, lines)}" for title, head, lines in tables)
    write_text(root / "report.md", text + "\n")
    return write_page(root / "report.html", __package__, summary=summary, tables=tables)


def _markdown(head: tuple[str, ...], lines: list[list[str]]) -> str:
    rows = [list(head), ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(_cell, r)) + " |" for r in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _range(values: list[float], sign: str = "") -> str:
    return "{:{s}.1f} to {:{s}.1f}".format(*(100 * v for v in values), s=sign)
