"""Progress display: bars with rates on a terminal, silence elsewhere."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from avcurate.runner.stage import Outcome, Row
    from avcurate.runner.tally import Tally, Watch


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def make_progress() -> Progress:
    """A bar with count, rate, elapsed and remaining time; disabled unless standard error is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("[bold]{task.description:<16}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def bar(description: str, total: int, unit: str) -> Iterator[Any]:
    """A single bar; yields ``set(done, total=None, note="")``."""
    with make_progress() as progress:
        task = progress.add_task(description, total=total, rate="", note="")

        def set_done(done: int, total: int | None = None, note: str = "") -> None:
            progress.update(task, completed=done, total=total, rate=_rate(progress, task, unit), note=note)

        yield set_done


def _rate(progress: Progress, task: TaskID, unit: str) -> str:
    speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
    return f"{speed:,.1f} {unit}/s" if speed else ""


class StageBars:
    """One bar per stage.

    Args:
        label_of: maps (stage, row with its new columns) to a word counted beside the bar, or ``None``.
    """

    def __init__(self, label_of: Callable[[str, Row], str | None] | None = None) -> None:
        self.progress = make_progress()
        self.label_of = label_of
        self.mix: dict[str, Counter[str]] = {}

    def __enter__(self) -> StageBars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def begin(self, stage: str) -> Watch:
        """Return a callback that updates this stage's bar."""
        task = self.progress.add_task(stage, total=None, rate="", note="")
        mix = self.mix.setdefault(stage, Counter())

        def watch(tally: Tally, outcome: Outcome | None, row: Row | None) -> None:
            if self.progress.disable:
                return
            self._count(stage, mix, outcome, row or {})
            dead = sum(tally.dead.values())
            note = " ".join(f"{k} {v}" for k, v in mix.most_common())
            if dead:
                note += f"  dead {dead}"
            self.progress.update(
                task,
                total=tally.total or None,
                completed=tally.done,
                rate=_rate(self.progress, task, "rows"),
                note=note,
            )

        return watch

    def _count(self, stage: str, mix: Counter[str], outcome: Outcome | None, row: Row) -> None:
        from avcurate.runner.stage import Kept

        if self.label_of is not None and isinstance(outcome, Kept):
            label = self.label_of(stage, row | outcome.added)
            if label is not None:
                mix[label] += 1
