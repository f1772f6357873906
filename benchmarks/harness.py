"""Runs two ways of doing one thing in alternation, and prints their ratio."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(what: str, ours: Callable[[], object], other: Callable[[], object], repeats: int = 5) -> float:
    """Print how many times longer the obvious way takes than ours: the median over alternating turns.

    Returns:
        The ratio of medians, other / ours.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        times[0].append(seconds(ours))
        times[1].append(seconds(other))
    ratio = statistics.median(times[1]) / statistics.median(times[0])
    spread = [round(b / a, 2) for a, b in zip(*times, strict=True)]
    print(json.dumps({"what": what, "ratio": round(ratio, 2), "each_turn": spread}), flush=True)
    return ratio
