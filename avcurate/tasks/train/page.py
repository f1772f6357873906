"""The page of a training run: what was logged at each step, related values in one figure."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from avcurate.report.page import write_page
from avcurate.report.plots import Curves, drawn

HIDDEN = ("step", "epoch", "step_time", "loss", "learning_rate")
FEWEST = 2
"""Steps that a curve needs."""


def write_training_page(out: Path, lines: list[dict[str, Any]], about: dict[str, Any]) -> Path:
    """Write ``report.html`` into the run directory.

    Args:
        out: the run directory.
        lines: its log, one mapping per step.
        about: settings shown at the top, name to text.
    """
    figures = [drawn(f) for f in training_figures(lines)]
    rows = [[name, *map(_short, (first, last, low, high))] for name, first, last, low, high in _ends(lines)]
    return write_page(out / "report.html", __package__, figures=figures, rows=rows, about=about, steps=len(lines))


def training_figures(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Figures as values; names that share what stands before a slash share a figure, rewards come first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in _names(lines):
        # a reward without weight, or a count of what never happened, is in the table alone
        if any(_values(name, lines)):
            groups[name.split("/")[0]].append(name)
    figures = []
    for title, names in sorted(groups.items(), key=lambda g: (g[0] != "reward", g[0])):
        curves = Curves(title, "step", "value at the step")
        for name in names:
            for line in lines:
                if isinstance(line.get(name), (int, float)):
                    curves.add(name.partition("/")[2] or name, line["step"], float(line[name]))
        figures.append(curves.figure() | {"bands": False})
    return figures


def _names(lines: list[dict[str, Any]]) -> list[str]:
    names = sorted({k for line in lines for k in line} - set(HIDDEN))
    return [n for n in names if len(_values(n, lines)) >= FEWEST]


def _values(name: str, lines: list[dict[str, Any]]) -> list[float]:
    return [float(line[name]) for line in lines if isinstance(line.get(name), (int, float))]


def _ends(lines: list[dict[str, Any]]) -> list[tuple[str, float, float, float, float]]:
    ends = []
    for name in _names(lines):
        values = _values(name, lines)
        ends.append((name, values[0], values[-1], min(values), max(values)))
    return ends


def _short(value: float) -> str:
    return f"{value:.4g}"
