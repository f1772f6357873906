"""Agreement of reviewers in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_agreement(found: dict[str, Any]) -> None:
    """Each reviewer against what is expected, and between reviewers."""
    table = Table("reviewer", "items", "agree", "Cohen's κ", "rejected", "error rate", "95 %")
    for name, a in found["reviewers"].items():
        table.add_row(
            name, str(a["n"]), _share(a["agree"]), _kappa(a["kappa"]), str(len(a["rejected"])), *_error(a["error"])
        )
    for names, a in found["between"].items():
        table.add_row(names, str(a["n"]), _share(a["agree"]), _kappa(a["kappa"]), "", "", "")
    console = Console()
    console.print(table if found["reviewers"] else "No verdicts yet.")


def _error(error: dict[str, Any]) -> tuple[str, str]:
    if error["rate"] is None:
        return "–", ""
    low, high = error["interval"]
    return f"{error['rate']:.1%} of {error['n']}", f"{low:.1%} to {high:.1%}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _kappa(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
