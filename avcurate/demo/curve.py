"""The log and the loss curve of a training run of the embedded model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from avcurate.store.atomic import write_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

WIDTH, HEIGHT, MARGIN = 720, 260, 40
COLORS = ("#2563eb", "#059669", "#d97706")


class TrainLog:
    """Writes one JSON line per step, moves a bar, and draws the curve at the end."""

    def __init__(self, work: Path, progress: Progress) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.work = work
        self.progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._file: IO[str] | None = None

    def __enter__(self) -> TrainLog:
        self._file = (self.work / "log.jsonl").open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        write_text(self.work / "loss.svg", draw(self.work / "log.jsonl"))

    def report(self, phase: str, step: int, steps: int, values: dict[str, float]) -> None:
        """One step of one phase."""
        if self._file is not None:
            self._file.write(
                json.dumps({"phase": phase, "step": step, **{k: round(v, 5) for k, v in values.items()}}) + "\n"
            )
        if phase not in self._tasks:
            self._tasks[phase] = self.progress.add_task(phase, total=steps, rate="", note="")
        task = self._tasks[phase]
        speed = self.progress.tasks[task].speed
        self.progress.update(
            task,
            completed=step,
            rate=f"{speed:.2f} steps/s" if speed else "",
            note=f"loss {values['loss']:.3f}",
        )


def draw(log: Path) -> str:
    """The loss of the phases over their steps, as an SVG picture on a logarithmic scale."""
    import math

    phases: dict[str, list[tuple[int, float]]] = {}
    for line in log.read_text("utf-8").splitlines():
        entry: dict[str, Any] = json.loads(line)
        phases.setdefault(entry["phase"], []).append((entry["step"], entry["loss"]))
    losses = [v for points in phases.values() for _, v in points] or [1.0]
    low, high = math.log(max(1e-3, min(losses))), math.log(max(losses) + 1e-9)
    parts = []
    for color, (phase, points) in zip(COLORS, phases.items(), strict=False):
        last = max(step for step, _ in points)
        spots = " ".join(
            f"{MARGIN + step / last * (WIDTH - MARGIN - 10):.1f},"
            f"{HEIGHT - MARGIN - (math.log(max(1e-3, v)) - low) / max(1e-9, high - low) * (HEIGHT - MARGIN - 10):.1f}"
            for step, v in points[:: max(1, len(points) // 600)]
        )
        parts.append(f'<polyline points="{spots}" fill="none" stroke="{color}"/>')
        parts.append(
            f'<text x="{WIDTH - 12}" y="{18 + 14 * len(parts) // 2}" text-anchor="end" fill="{color}">'
            f"{phase}, {last} steps, last loss {points[-1][1]:.3f}</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}'
        f'<text x="6" y="16">loss (log): {math.exp(high):.2f}</text>'
        f'<text x="6" y="{HEIGHT - MARGIN}">{math.exp(low):.3f}</text></svg>\n'
    )
