"""The page of a training run: one curve per logged value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avcurate.report.page import write_page

WIDTH, HEIGHT = 300, 110
HIDDEN = ("step", "epoch", "step_time", "loss", "learning_rate")


def write_training_page(out: Path, lines: list[dict[str, Any]], about: dict[str, Any]) -> Path:
    """Write ``report.html`` into the run directory.

    Args:
        out: the run directory.
        lines: its log, one mapping per step.
        about: settings shown at the top, name to text.
    """
    names = sorted({k for line in lines for k in line} - set(HIDDEN), key=lambda n: (not n.startswith("reward"), n))
    curves = [curve for name in names if (curve := _curve(name, lines)) is not None]
    return write_page(out / "report.html", __package__, curves=curves, about=about, width=WIDTH, height=HEIGHT)


def _curve(name: str, lines: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Points of one value over steps; ``None`` for fewer than two."""
    points = [(line["step"], float(line[name])) for line in lines if isinstance(line.get(name), (int, float))]
    if len(points) < 2:
        return None
    low, high = min(v for _, v in points), max(v for _, v in points)
    first, last = points[0][0], points[-1][0]
    coordinates = [
        (
            round((step - first) / max(1, last - first) * WIDTH, 1),
            round(HEIGHT - 4 - (v - low) / ((high - low) or 1.0) * (HEIGHT - 8), 1),
        )
        for step, v in points
    ]
    return {
        "name": name,
        "low": low,
        "high": high,
        "last": points[-1][1],
        "points": " ".join(f"{x},{y}" for x, y in coordinates),
    }
