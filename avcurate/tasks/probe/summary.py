"""What the rows of a probe amount to: measures by question, tables and figures. Needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.metrics.pem import pem_of
from avcurate.metrics.statistics import mean_interval, paired_interval, wilson
from avcurate.report.plots import Curves, Heat

BINS = 20
Table = dict[str, Any]


class Summary(ABC):
    """Takes rows one by one.

    Args:
        recipe: of the run.

    Attributes:
        measures: by name, the value of each question, in their order.
    """

    def __init__(self, recipe: dict[str, Any]) -> None:
        self.recipe = recipe
        self.measures: dict[str, dict[str, float]] = defaultdict(dict)
        self._curves: dict[str, Curves] = {}
        self._heats: dict[str, Heat] = {}

    @abstractmethod
    def add(self, row: dict[str, Any]) -> None:
        """Take a row of the probe's table."""

    def tables(self) -> list[Table]:
        """Tables beside the measures."""
        return []

    def figures(self) -> list[dict[str, Any]]:
        """Curves and heat maps."""
        curves = [c.figure() for c in self._curves.values()]
        return curves + [h.figure() for h in self._heats.values()]

    def measure(self, name: str, row: dict[str, Any], value: float | None) -> None:
        """A question's value; none is left out, and so is nan."""
        if value is not None and np.isfinite(value):
            self.measures[name][str(row["question_id"])] = float(value)

    def curves(self, title: str, x: str, y: str) -> Curves:
        """The figure of that title."""
        return self._curves.setdefault(title, Curves(title, x, y))

    def heat(self, title: str, x: str, y: str) -> Heat:
        """The figure of that title."""
        return self._heats.setdefault(title, Heat(title, x, y))

    def by_position(self, title: str, y: str, series: str, values: NDArray[np.float64]) -> None:
        """Add a response's values per token as means of twenty equal stretches, in per cent of its length."""
        curves = self.curves(title, "position in the response, %", y)
        for place, value in stretches(values):
            curves.add(series, place, value)


def stretches(values: NDArray[np.float64]) -> Iterable[tuple[float, float]]:
    """(middle in per cent, mean) of each twentieth of a series; of a shorter series the value that stands there."""
    if not len(values):
        return
    if len(values) < BINS:
        values = values[((np.arange(BINS) + 0.5) * len(values) // BINS).astype(int)]
    places = np.arange(len(values)) * BINS // len(values)
    for b in range(BINS):
        yield (b + 0.5) * 100 / BINS, float(values[places == b].mean())


def group_of(row: dict[str, Any]) -> str | None:
    """The modality that the data set says decides a question."""
    pem = pem_of(row["stated_modality"])
    return None if pem is None else str(pem)


def _interval(column: NDArray[np.float64]) -> tuple[float, float]:
    """Wilson's for rates of single questions, whose bootstrap says 100 to 100 % where all are right."""
    if np.isin(column, (0.0, 1.0)).all():
        return wilson(int(column.sum()), len(column))
    return mean_interval(column)


def measured(measures: dict[str, dict[str, float]], other: dict[str, dict[str, float]] | None) -> list[dict[str, Any]]:
    """Each measure's mean with its interval; with another run also the paired difference over common questions."""
    rows = []
    for name, values in sorted(measures.items()):
        column = np.array(list(values.values()))
        row: dict[str, Any] = {
            "measure": name,
            "n": len(column),
            "mean": float(column.mean()),
            "interval": list(_interval(column)),
        }
        common = [q for q in values if q in (other or {}).get(name, {})]
        if other is not None and common:
            ours, theirs = (np.array([v[q] for q in common]) for v in (values, other[name]))
            difference, low, high = paired_interval(ours, theirs)
            paired = {"n": len(common), "other": float(theirs.mean()), "difference": difference}
            row["against"] = paired | {"interval": [low, high]}
        rows.append(row)
    return rows
