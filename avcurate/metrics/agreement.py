"""How far two raters agree beyond chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def cohen_kappa(ours: Sequence[str], theirs: Sequence[str]) -> float | None:
    """Cohen's κ (1960): (observed - expected) / (1 - expected) agreement, in [-1, 1].

    Returns:
        ``None`` without items, or if both always give the same single verdict: chance alone would agree.
    """
    n = len(ours)
    if n == 0:
        return None
    observed = sum(a == b for a, b in zip(ours, theirs, strict=True)) / n
    left, right = Counter(ours), Counter(theirs)
    expected = sum(left[k] * right[k] for k in left) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)
