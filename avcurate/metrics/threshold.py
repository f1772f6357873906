"""A threshold proposed from a pilot's own distribution (Otsu 1979): where two groups part, if there are two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIN_VALUES = 30
# a single bell curve cut in half separates 0.64 of its variance, a uniform distribution 0.75
MIN_SEPARATION = 0.78
STEP = 0.01


@dataclass(frozen=True)
class Proposal:
    """A threshold, or why there is none.

    Attributes:
        threshold: values at or above it form the upper group, rounded to 0.01; ``None``: none is proposed.
        separation: share of the variance between the groups, in [0, 1].
        count: values looked at.
        about: one sentence.
    """

    threshold: float | None
    separation: float
    count: int
    about: str


def propose_threshold(values: Sequence[float]) -> Proposal:
    """The cut that separates two groups best.

    Args:
        values: e.g. the CoT consistency of every setting that is right often enough, in [-1, 1].
    """
    data = np.sort(np.asarray([v for v in values if np.isfinite(v)], np.float64))
    count, spread = len(data), float(data.var()) if len(data) else 0.0
    if count < MIN_VALUES or spread < 1e-12:
        return Proposal(None, 0.0, count, f"{count} values are too few, or all alike: label more questions first.")
    cuts = np.arange(np.ceil(data[0] / STEP) + 1, np.floor(data[-1] / STEP) + 1) * STEP
    below = np.searchsorted(data, cuts, side="left")
    sums = np.concatenate([[0.0], np.cumsum(data)])
    inside = (below > 0) & (below < count)
    if not inside.any():
        return Proposal(None, 0.0, count, "the values lie within 0.01 of each other.")
    low, cuts = below[inside], cuts[inside]
    means = sums[low] / low, (sums[-1] - sums[low]) / (count - low)
    between = low * (count - low) / count**2 * (means[1] - means[0]) ** 2
    # the middle of the gap, where many cuts are equally good
    best = np.flatnonzero(between >= between.max() - 1e-12)
    threshold = round(float(cuts[best[len(best) // 2]]), 2)
    separation = float(between.max() / spread)
    if separation < MIN_SEPARATION:
        about = f"the values form one group ({separation:.0%} of the variance lies between the best two): keep yours."
        return Proposal(None, separation, count, about)
    share = float((data >= threshold).mean())
    about = f"{threshold:g} parts two groups ({separation:.0%} of the variance); {share:.0%} of {count:,} lie above it."
    return Proposal(threshold, separation, count, about)
