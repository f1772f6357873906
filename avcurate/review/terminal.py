"""Agreement of reviewers in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_agreement(found: dict[str, Any]) -> None:
    """Each reviewer against what is expected, reviewers among each other, and what that says of the whole run."""
    console = Console()
    if not found["reviewers"]:
        console.print("No verdicts yet.")
        return
    table = Table("reviewer", "items", "agree", "Cohen's κ", "95 %", "rejected", "error rate", "95 %")
    for name, a in found["reviewers"].items():
        table.add_row(name, str(a["n"]), _share(a["agree"]), *_kappa(a), str(len(a["rejected"])), *_error(a["error"]))
    for names, a in found["between"].items():
        table.add_row(names, str(a["n"]), _share(a["agree"]), *_kappa(a), "", "", "")
    console.print(table)
    alpha, precision = found["alpha"], found["precision"]
    if alpha["items"]:
        value, interval = _kappa(alpha | {"kappa": alpha["value"]})
        console.print(
            f"Krippendorff's α over {alpha['items']:,} items with two verdicts or more: {value} ({interval})."
        )
    if precision["n"]:
        low, high = precision["interval"]
        whole = sum(s["size"] for s in precision["strata"].values())
        console.print(
            f"Of all {whole:,}, people would confirm {precision['value']:.1%} (95 %: {low:.1%} to {high:.1%}), from "
            f"{precision['n']:,} that they decided."
        )
    stated = found["calibration"]
    if stated["n"]:
        console.print(
            f"Confidence against reviewers, {stated['n']:,} items: stated {stated['stated']:.2f}, confirmed "
            f"{stated['observed']:.2f}, Brier {stated['brier']:.3f}."
        )


def _error(error: dict[str, Any]) -> tuple[str, str]:
    if error["rate"] is None:
        return "–", ""
    low, high = error["interval"]
    return f"{error['rate']:.1%} of {error['n']}", f"{low:.1%} to {high:.1%}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _kappa(found: dict[str, Any]) -> tuple[str, str]:
    value, interval = found["kappa"], found["interval"]
    text = "–" if value is None else f"{value:.3f}"
    return text, "" if value is None or interval is None else "{:.3f} to {:.3f}".format(*interval)
