"""Progress: bars with rates on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from avcurate.cli.logs import EVENTS, PROGRESS, one_line
from avcurate.cli.pace import Pace, eta

if TYPE_CHECKING:
    from rich.progress import Progress

    from avcurate.runner.stage import Outcome, Row
    from avcurate.runner.tally import Tally, Watch

LINE_S = 60.0


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def make_progress() -> Progress:
    """A bar with count, rate, elapsed and remaining time; disabled unless standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("[bold]{task.description:<16}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}"),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def bar(description: str, total: int, unit: str) -> Iterator[Any]:
    """A single bar; yields ``set(done, total=None, note="")``."""
    with make_progress() as progress:
        task, pace = progress.add_task(description, total=total, rate="", eta="", note=""), Pace()
        seen = 0

        def set_done(done: int, total: int | None = None, note: str = "") -> None:
            nonlocal seen
            if done > seen:
                pace.add(done - seen)
                seen = done
            whole = total if total is not None else progress.tasks[task].total
            fields = _pace_fields(pace, (whole or 0) - done, unit)
            progress.update(task, completed=done, total=whole, note=note, **fields)

        yield set_done


def _pace_fields(pace: Pace, left: float, unit: str) -> dict[str, Any]:
    rate, ends = pace.rate(), eta(pace.remaining(int(left)))
    return {"rate": f"{rate:,.{1 if rate >= 1 else 2}f} {unit}/s" if rate else "", "eta": f"eta {ends}" if ends else ""}


class StageBars:
    """One bar per stage on a terminal; elsewhere a line a minute. Dead rows go into the log.

    Args:
        label_of: maps (stage, row with its new columns) to a word counted beside the bar, or ``None``.
        clock: seconds; for tests.
    """

    def __init__(
        self, label_of: Callable[[str, Row], str | None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.progress = make_progress()
        self.label_of = label_of
        self.mix: dict[str, Counter[str]] = {}
        self._clock = clock
        self._said = clock()

    def __enter__(self) -> StageBars:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def begin(self, stage: str) -> Watch:
        """Return a callback that updates this stage's bar."""
        task = self.progress.add_task(stage, total=None, rate="", eta="", note="")
        mix, pace, seen = self.mix.setdefault(stage, Counter()), Pace(self._clock), 0
        EVENTS.info("%s: begun", stage)

        def watch(tally: Tally, outcome: Outcome | None, row: Row | None) -> None:
            nonlocal seen
            if outcome is not None:
                pace.add()
            elif tally.done > seen and seen:
                # a stage that reports whole parts; what it finds done at its start was done before
                pace.add(tally.done - seen)
            seen = tally.done
            self._log(stage, outcome, row or {})
            self._count(stage, mix, outcome, row or {})
            if not self.progress.disable:
                fields = _pace_fields(pace, tally.total - tally.done, "rows")
                self.progress.update(
                    task, total=tally.total or None, completed=tally.done, note=_note(mix, tally), **fields
                )
            elif self._clock() - self._said >= LINE_S:
                self._said = self._clock()
                PROGRESS.info(line_of(stage, tally, pace, mix))
            if tally.total and tally.done == tally.total:
                EVENTS.info("%s: %s of %s done; kept %s", stage, tally.done, tally.total, tally.kept)

        return watch

    def _log(self, stage: str, outcome: Outcome | None, row: Row) -> None:
        from avcurate.runner.stage import Dead

        if isinstance(outcome, Dead):
            name = row.get("question_id") or row.get("clip_id") or row.get("row") or "a record"
            EVENTS.warning("%s: %s died: %s: %s", stage, one_line(name), outcome.reason, one_line(outcome.message))

    def _count(self, stage: str, mix: Counter[str], outcome: Outcome | None, row: Row) -> None:
        from avcurate.runner.stage import Kept

        # a label costs as much as the rest of a row here: none where no line shows it
        if self.progress.disable and not PROGRESS.isEnabledFor(logging.INFO):
            return
        if self.label_of is not None and isinstance(outcome, Kept):
            label = self.label_of(stage, row | outcome.added)
            if label is not None:
                mix[label] += 1


def line_of(stage: str, tally: Tally, pace: Pace, mix: Counter[str]) -> str:
    """A stage's progress in one line."""
    share = f" ({tally.done / tally.total:.0%})" if tally.total else ""
    fields = _pace_fields(pace, tally.total - tally.done, "rows")
    said = [f"{stage}: {tally.done:,} of {tally.total:,} rows{share}", *fields.values(), _note(mix, tally)]
    return ", ".join(s for s in said if s)


def _note(mix: Counter[str], tally: Tally) -> str:
    dead = sum(tally.dead.values())
    counts = [*(f"{k} {v}" for k, v in mix.most_common()), *([f"dead {dead}"] if dead else [])]
    return ", ".join(s for s in (" ".join(counts), tally.pulse) if s)
