"""Curves and heat maps as JSON-like values, and as the geometry that the page's templates draw as SVG.

Drawn by hand, since a page must stay one offline file and no plotting library is part of the core.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from avcurate.metrics.statistics import t_interval

WIDTH, HEIGHT = 460, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 38
FEW = 5
PALETTE = ("#d97706", "#2563eb", "#059669", "#7c3aed", "#b91c1c", "#0891b2", "#64748b", "#db2777")
COLORS = {
    "audio": PALETTE[0],
    "video": PALETTE[1],
    "query": PALETTE[2],
    "generated": PALETTE[3],
    "template": PALETTE[6],
    "sound": PALETTE[0],
    "picture": PALETTE[1],
}


class Curves:
    """Means over rows at each point of some series, with intervals; one figure."""

    def __init__(self, title: str, x_label: str, y_label: str) -> None:
        self.title, self.x_label, self.y_label = title, x_label, y_label
        self._sums: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0, 0.0, 0.0]))

    def add(self, series: str, x: float, value: float) -> None:
        """Add one row's value."""
        if math.isfinite(value):
            sums = self._sums[series][x]
            sums[0] += 1
            sums[1] += value
            sums[2] += value * value

    def figure(self) -> dict[str, Any]:
        """The figure as values: per series x, mean y, low, high and n."""
        series = []
        for name, points in self._sums.items():
            xs = sorted(points)
            bounds = [t_interval(int(points[x][0]), points[x][1], points[x][2]) for x in xs]
            series.append(
                {
                    "name": name,
                    "x": xs,
                    "y": [points[x][1] / points[x][0] for x in xs],
                    "low": [b[0] for b in bounds],
                    "high": [b[1] for b in bounds],
                    "n": [int(points[x][0]) for x in xs],
                }
            )
        return {"kind": "curves", "title": self.title, "x": self.x_label, "y": self.y_label, "series": series}


class Heat:
    """Means over rows in the cells of a grid; one figure."""

    def __init__(self, title: str, x_label: str, y_label: str) -> None:
        self.title, self.x_label, self.y_label = title, x_label, y_label
        self._cells: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
        self._rows: dict[str, None] = {}
        self._columns: dict[str, None] = {}

    def add(self, row: str, column: str, value: float) -> None:
        """Add one value."""
        self._rows[row] = self._columns[column] = None
        if math.isfinite(value):
            cell = self._cells[row, column]
            cell[0] += 1
            cell[1] += value

    def figure(self) -> dict[str, Any]:
        """The figure as values: rows, columns and a mean or ``None`` for each cell."""
        columns = list(self._columns)
        if all(_is_number(c) for c in columns):
            columns.sort(key=float)
        values = [[self._mean(r, c) for c in columns] for r in self._rows]
        return {
            "kind": "heat",
            "title": self.title,
            "x": self.x_label,
            "y": self.y_label,
            "rows": list(self._rows),
            "columns": columns,
            "values": values,
        }

    def _mean(self, row: str, column: str) -> float | None:
        cell = self._cells.get((row, column))
        return float(cell[1] / cell[0]) if cell else None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def drawn(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure with the coordinates a template needs."""
    return {"curves": _curves, "scatter": _scatter, "heat": _heat}[figure["kind"]](figure)


def _scatter(figure: dict[str, Any]) -> dict[str, Any]:
    """Points of some series on common axes; equal ones are drawn once, wider."""
    points = [p for s in figure["series"] for p in s["points"]]
    x_ticks, y_ticks = (ticks(min(0.0, *axis), max(axis)) for axis in zip(*points, strict=True))
    colors = series_colors([s["name"] for s in figure["series"]])
    drawn_series = []
    for s, color in zip(figure["series"], colors, strict=True):
        counts = Counter(
            (
                round(LEFT + (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (WIDTH - LEFT - RIGHT), 1),
                round(HEIGHT - BOTTOM - (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (HEIGHT - TOP - BOTTOM), 1),
            )
            for x, y in s["points"]
        )
        dots = [(x, y, round(2.5 * n**0.5, 1)) for (x, y), n in counts.items()]
        drawn_series.append({"name": s["name"], "color": color, "dots": dots})
    return figure | {
        "width": WIDTH,
        "height": HEIGHT,
        "frame": (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        "x_ticks": [
            (round(LEFT + i * (WIDTH - LEFT - RIGHT) / (len(x_ticks) - 1), 1), f"{t:g}") for i, t in enumerate(x_ticks)
        ],
        "y_ticks": [
            (round(HEIGHT - BOTTOM - i * (HEIGHT - TOP - BOTTOM) / (len(y_ticks) - 1), 1), f"{t:g}")
            for i, t in enumerate(y_ticks)
        ],
        "drawn": drawn_series,
    }


def _curves(figure: dict[str, Any]) -> dict[str, Any]:
    xs: list[float] = [x for s in figure["series"] for x in s["x"]] or [0.0]
    # an interval from a few rows may be many times as wide as what it is about: such bands are cut at the frame
    bounded = [(s["low"][i], s["high"][i]) for s in figure["series"] for i, n in enumerate(s["n"]) if n >= FEW]
    ys: list[float] = [y for s in figure["series"] for y in s["y"]] + [y for pair in bounded for y in pair] or [0.0]
    x_low, x_high = min(xs), max(xs)
    y_ticks = ticks(min(0.0, *ys), max(ys))
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def px(x: float) -> float:
        return round(LEFT + (x - x_low) / ((x_high - x_low) or 1) * (WIDTH - LEFT - RIGHT), 1)

    def py(y: float) -> float:
        within = min(max(y, y_low), y_high)
        return round(HEIGHT - BOTTOM - (within - y_low) / ((y_high - y_low) or 1) * (HEIGHT - TOP - BOTTOM), 1)

    colors = series_colors([s["name"] for s in figure["series"]])
    series = []
    for s, color in zip(figure["series"], colors, strict=True):
        line = [(px(x), py(y)) for x, y in zip(s["x"], s["y"], strict=True)]
        band = [(px(x), py(y)) for x, y in zip(s["x"], s["low"], strict=True)]
        band += [(px(x), py(y)) for x, y in zip(reversed(s["x"]), reversed(s["high"]), strict=True)]
        series.append({"name": s["name"], "color": color, "line": _points(line), "band": _points(band), "dots": line})
    x_ticks = sorted(set(xs)) if len(set(xs)) <= 8 else ticks(x_low, x_high)
    return figure | {
        "width": WIDTH,
        "height": HEIGHT,
        "frame": (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        "x_ticks": [(px(t), f"{t:g}") for t in x_ticks if x_low <= t <= x_high],
        "y_ticks": [(py(t), f"{t:g}") for t in y_ticks],
        "drawn": series,
    }


def series_colors(names: Sequence[str]) -> list[str]:
    """A colour for each series: that of what it is about, where it is the only one about it, else one not used yet."""
    about = [COLORS.get(n) or COLORS.get(n.removeprefix("follows ")) for n in names]
    left = [c for c in PALETTE if c not in about]
    return [color or left[i % len(left)] for i, color in enumerate(about)]


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at or below ``low`` to at or above ``high``."""
    span = (high - low) or 1.0
    step = 10.0 ** math.floor(math.log10(span / about))
    step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= about)
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [round(i * step, 10) for i in range(first, last + 1)]


def _heat(figure: dict[str, Any]) -> dict[str, Any]:
    values = [v for row in figure["values"] for v in row if v is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    label = max([3, *(len(r) for r in figure["rows"])]) * 6 + 10
    cell_w = max(10, (WIDTH - label - RIGHT) / max(1, len(figure["columns"])))
    cell_h = 16
    cells = []
    for r, row in enumerate(figure["values"]):
        for c, value in enumerate(row):
            shade = 0.0 if value is None else (value - low) / ((high - low) or 1)
            name = f"{figure['rows'][r]}, {figure['columns'][c]}: " + ("–" if value is None else f"{value:.4g}")
            cells.append((round(label + c * cell_w, 1), TOP + r * cell_h, round(shade, 3), name))
    widest = max([5, *(len(c) for c in figure["columns"])]) * 6
    # names are slanted where they do not fit; of numbers some are left out
    slanted = widest > cell_w and not all(map(_is_number, figure["columns"]))
    skip = 1 if slanted else max(1, math.ceil(widest / cell_w))
    below = BOTTOM + (round(widest * 0.6) if slanted else 0)
    return figure | {
        "width": round(label + cell_w * len(figure["columns"]) + RIGHT),
        "height": TOP + cell_h * len(figure["rows"]) + below,
        "slanted": slanted,
        "cells": cells,
        "cell": (round(cell_w + 0.3, 1), cell_h + 0.3),
        "row_labels": [(label - 6, TOP + (r + 0.75) * cell_h, name) for r, name in enumerate(figure["rows"])],
        "column_labels": [
            (round(label + (c + 0.5) * cell_w, 1), TOP + cell_h * len(figure["rows"]) + 13, name)
            for c, name in enumerate(figure["columns"])
            if c % skip == 0
        ],
        "low": f"{low:.3g}",
        "high": f"{high:.3g}",
    }
