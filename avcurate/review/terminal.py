"""Agreement of reviewers in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_agreement(found: dict[str, Any]) -> None:
    """Each reviewer against what is expected, and between reviewers."""
    table = Table("reviewer", "items", "agree", "Cohen's κ", "rejected")
    for name, a in found["reviewers"].items():
        table.add_row(name, str(a["n"]), _share(a["agree"]), _kappa(a["kappa"]), str(len(a["rejected"])))
    for names, a in found["between"].items():
        table.add_row(names, str(a["n"]), _share(a["agree"]), _kappa(a["kappa"]), "")
    console = Console()
    console.print(table if found["reviewers"] else "No verdicts yet.")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _kappa(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
