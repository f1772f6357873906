"""Judged captions in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_judging(summary: dict[str, Any], compared: dict[str, Any] | None, console: Console) -> None:
    """Scores per modality, unreadable replies, agreement with humans, and the drop from another run."""
    table = Table("", "captions", "score", "95 %", "spread", "unreadable", "Spearman", "Kendall")
    for modality in ("audio", "video"):
        m = summary[modality]
        human = m["human"] or {}
        table.add_row(
            modality,
            str(m["captions"]),
            _number(m["mean"]),
            _range(m["interval"]),
            _number(m["mean_spread"]),
            f"{m['unparsed']} of {m['judgements']}",
            *(_with_range(human.get(k)) for k in ("spearman", "kendall")),
        )
    console.print(table)
    if compared:
        drops = Table("", "clips", "this run", "other run", "difference", "95 %", "drop", title="against the other run")
        for modality, d in compared.items():
            drop = "–" if d["drop"] is None else f"{d['drop']:.0%}"
            cells = (_number(d["ours"]), _number(d["theirs"]), f"{d['difference']:+.3f}", _range(d["interval"]), drop)
            drops.add_row(modality, str(d["clips"]), *cells)
        console.print(drops)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(values: list[float | None]) -> str:
    return "–" if values[0] is None else f"{values[0]:.3f} to {values[1]:.3f}"


def _with_range(correlation: dict[str, Any] | None) -> str:
    if not correlation or correlation["value"] is None:
        return "–"
    return (
        f"{correlation['value']:.3f} ({_range(correlation['interval'])})"
        if correlation["interval"]
        else _number(correlation["value"])
    )
