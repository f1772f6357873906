"""Summaries for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

SETTING_NAMES = {"a": "audio only", "v": "video only", "av": "both"}


def console() -> Console:
    """Standard output; plain text if it is not a terminal."""
    return Console(highlight=False, soft_wrap=True, markup=False)


def print_funnel(stages: dict[str, Any]) -> None:
    """Rows in, kept, filtered and dead of each stage, with reasons."""
    table = Table("stage", "in", "kept", "filtered", "dead", title="Every row", title_justify="left")
    for name, s in stages.items():
        table.add_row(name, f"{s['in']:,}", f"{s['kept']:,}", reasons(s["filtered"]), reasons(s["dead"]))
    console().print(table)


def reasons(counts: dict[str, int]) -> str:
    """``12 (too_long 7, media_missing 5)``: a total and its breakdown, largest first."""
    if not counts:
        return "0"
    listed = ", ".join(f"{k} {v:,}" for k, v in sorted(counts.items(), key=lambda kv: -kv[1]))
    return f"{sum(counts.values()):,} ({listed})" if len(counts) > 1 else listed


def print_dead(rows: list[dict[str, Any]]) -> None:
    """Dead rows, the first hundred."""
    out = console()
    for row in rows[:100]:
        out.print(f"[{row['stage']}] {row['reason']}: {row['message']}", markup=False)
        if row["hint"]:
            out.print(f"    {row['hint']}", markup=False)
        out.print(f"    {row['reproduce']}", markup=False)
    if len(rows) > 100:
        out.print(f"… and {len(rows) - 100:,} more; --json lists all.")
