"""Pairs in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_pairing(summary: dict[str, Any], console: Console) -> None:
    """Print similarities of the pairs, and why donors were refused."""
    table = Table("", "mean", "maximum", title=f"{summary['pairs']} pairs", title_justify="left")
    for name in ("audio_similarity", "video_similarity", "margin"):
        values = summary[name]
        cells = (f"{values['mean']:.3f}", f"{values['most']:.3f}") if values else ("–", "–")
        table.add_row(name.replace("_", " "), *cells)
    console.print(table)
    compared = max(1, summary["donors_looked_at"])
    refused = Table("donors refused", "", "", title_justify="left")
    for reason, count in summary["donors_refused"].items():
        refused.add_row(reason, f"{count:,}", f"{count / compared:.1%}")
    console.print(refused)
    console.print(f"Pairs: {summary['pairs_file']}", soft_wrap=True)
