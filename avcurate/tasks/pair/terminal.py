"""A pairing in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_pairing(summary: dict[str, Any], console: Console) -> None:
    """How near the pairs are, and why donors were refused."""
    table = Table("", "mean", "most", title=f"{summary['pairs']} pairs", title_justify="left")
    for name in ("audio_similarity", "video_similarity", "margin"):
        found = summary[name]
        cells = (f"{found['mean']:.3f}", f"{found['most']:.3f}") if found else ("–", "–")
        table.add_row(name.replace("_", " "), *cells)
    console.print(table)
    looked = max(1, summary["donors_looked_at"])
    refused = Table("donors refused", "", "", title_justify="left")
    for reason, count in summary["donors_refused"].items():
        refused.add_row(reason, f"{count:,}", f"{count / looked:.1%}")
    console.print(refused)
    console.print(f"Pairs: {summary['pairs_file']}", soft_wrap=True)
