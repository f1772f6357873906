"""Scores of a benchmark in the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from avcurate.report.terminal import console

RATES = ("changed_where_it_should", "changed_where_it_should_not", "both_right")


def print_score(result: dict[str, Any]) -> None:
    """Print three tables for each condition."""
    out = console()
    out.print(f"{result['model']}, {result['questions']:,} questions: {result['run']}")
    for name, condition in result["conditions"].items():
        if condition["unanswered"]:
            out.print(f"{name}: {condition['unanswered']:,} questions were not answered; they count as wrong.")
        groups = Table(f"{name}: questions", "n", "right", "95 %", "precision", "recall", "F1", "Yes", "unreadable")
        for group, m in condition["groups"].items():
            yes_no = (m.get(k) for k in ("precision", "recall", "f1", "yes_rate"))
            cells = (_number(x) for x in (*yes_no, m["unparseable"]))
            groups.add_row(group, f"{m['questions']:,}", _number(m["accuracy"]), _interval(m["interval"]), *cells)
        out.print(groups)
        chosen = condition["selection"]
        if chosen["n"]:
            rates = Table(f"{name}: answers under conflict follow", "rate", "95 %", "n")
            for way in ("sound", "picture", "neither"):
                rates.add_row(way, _number(chosen[way]["rate"]), _interval(chosen[way]["interval"]), f"{chosen['n']:,}")
            out.print(rates)
        if condition["sensitivity"]["pairs"]:
            columns = ("pairs", "changed, should", "changed, should not", "both right", "sensitivity", "95 %")
            pairs = Table(f"{name}: edit", *columns)
            for edit, s in {"all": condition["sensitivity"], **condition["sensitivity_by_edit"]}.items():
                rated = [_number(s[k]["rate"]) for k in RATES]
                pairs.add_row(edit, f"{s['pairs']:,}", *rated, _number(s["sensitivity"]), _interval(s["interval"]))
            out.print(pairs)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(value: list[float] | None) -> str:
    return "" if value is None else f"{value[0]:.3f} to {value[1]:.3f}"
