"""Counts of a stage, and the callbacks that show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from avcurate.runner.stage import Filtered, Kept, Outcome, Row
from avcurate.store.parts import Commit


@dataclass
class Tally:
    """Counts of one stage so far, over finished and running parts."""

    total: int = 0
    done: int = 0
    kept: int = 0
    filtered: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    pulse: str = ""
    """How busy the stage's engine is."""

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.done += 1
        if isinstance(outcome, Kept):
            self.kept += 1
        else:
            counts = self.filtered if isinstance(outcome, Filtered) else self.dead
            counts[outcome.reason] = counts.get(outcome.reason, 0) + 1

    def add_commit(self, commit: Commit) -> None:
        """Count a finished part."""
        self.done += commit.rows_in
        self.kept += commit.kept
        for mine, theirs in ((self.filtered, commit.filtered), (self.dead, commit.dead)):
            for reason, n in theirs.items():
                mine[reason] = mine.get(reason, 0) + n


Watch = Callable[[Tally, Outcome | None, Row | None], None]
Begin = Callable[[str], Watch]


def no_progress(tally: Tally, outcome: Outcome | None, row: Row | None) -> None:
    """The default watcher: shows nothing."""


def begin_no_progress(stage: str) -> Watch:
    """The default: no stage is watched."""
    return no_progress
