"""How much of its time an engine had something to do, and what it waited for in the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CLIPS, CANARY, COMMIT, ROWS = "clips", "canary", "commit", "rows"
SHOWN_FROM = 0.005
"""Share of the time from which a cause is named."""


class Pulse:
    """Time from the first request on, and what of it was spent waiting, by cause.

    Waiting is measured where the engine stands still: for clips and for rows only while nothing is in flight, for
    commits and canaries unless the engine answers in other processes meanwhile.

    Args:
        clock: seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.waits: dict[str, float] = dict.fromkeys((CLIPS, CANARY, COMMIT, ROWS), 0.0)

    @contextmanager
    def waiting(self, cause: str) -> Iterator[None]:
        """Count the time inside as waiting."""
        began = self._clock()
        try:
            yield
        finally:
            self.waits[cause] += self._clock() - began

    @property
    def whole(self) -> float:
        """Seconds since it began."""
        return max(self._clock() - self._began, 1e-9)

    @property
    def busy(self) -> float:
        """Share of the time in which the engine had something to do."""
        return max(0.0, 1 - sum(self.waits.values()) / self.whole)

    def __str__(self) -> str:
        causes = [f"{c} {s / self.whole:.0%}" for c, s in self.waits.items() if s / self.whole >= SHOWN_FROM]
        return f"engine busy {self.busy:.0%}" + (f" (waited for {', '.join(causes)})" if causes else "")
