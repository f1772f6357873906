"""How fast a stage goes, and when it will end: from what this process did, with what is not known said."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np

WINDOW_S = 120.0
BLOCKS = 8
FEWEST = 4
"""Marks needed before a rate is stated."""


class Pace:
    """Rows done over the last two minutes.

    Rows that were stored before this process began are not counted, so that a resumed run does not look fast. Rows
    often finish in bursts; so the rate is measured from burst to burst, and its uncertainty over eighths of the window.

    Args:
        clock: seconds; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._done = 0

    def add(self, rows: int = 1) -> None:
        """Count rows that were done now."""
        now = self._clock()
        self._done += rows
        if now - self._marks[-1][0] < 0.05:
            self._marks[-1] = (self._marks[-1][0], self._done)
        else:
            self._marks.append((now, self._done))
        while len(self._marks) > FEWEST and now - self._marks[1][0] > WINDOW_S:
            self._marks.popleft()

    def rate(self) -> float | None:
        """Rows a second; ``None`` before there is enough to say."""
        (first, before), (_, after) = self._marks[0], self._marks[-1]
        if len(self._marks) < FEWEST or after == before:
            return None
        # a stage that has stalled is getting slower, not standing still in the past
        return (after - before) / max(self._clock() - first, 1e-9)

    def remaining(self, rows: int) -> tuple[float, float] | None:
        """Seconds that so many rows will take, from and to (about 95 %); ``None`` before there is enough to say."""
        rate = self.rate()
        if rate is None or rows <= 0:
            return None
        times, counts = (np.array(c, float) for c in zip(*self._marks, strict=True))
        edges = np.linspace(times[0], times[-1], BLOCKS + 1)
        per_block = np.diff(np.interp(edges, times, counts))
        # of the rate that was measured, and of the stretch that is to come
        ahead = rows / float(per_block.mean())
        error = 2 * float(per_block.std(ddof=1)) / float(per_block.mean()) * (1 / BLOCKS + 1 / max(ahead, 1)) ** 0.5
        return rows / (rate * (1 + error)), rows / (rate * max(1 - error, 0.25))


def spoken(seconds: float) -> str:
    """A time as a person would say it: 45 s, 12 min, 3.5 h, 2.1 d."""
    for unit, size, limit in (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 48 * 3600)):
        if seconds < limit:
            value = seconds / size
            return f"{value:.0f} {unit}" if unit != "h" else f"{value:.1f} h"
    return f"{seconds / 86400:.1f} d"


def eta(span: tuple[float, float] | None) -> str:
    """``12 to 15 min``, or one value where both are said alike."""
    if span is None:
        return ""
    low, high = (spoken(s) for s in span)
    if low == high:
        return low
    return f"{low.split()[0]} to {high}" if low.split()[1] == high.split()[1] else f"{low} to {high}"
