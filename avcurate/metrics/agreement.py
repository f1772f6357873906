"""How far raters agree beyond chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


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


def krippendorff_alpha(verdicts: Sequence[Mapping[str, str]]) -> float | None:
    """Krippendorff's α for nominal verdicts (2011, "Computing Krippendorff's Alpha-Reliability"), at most 1.

    Any number of raters, each of any of the items: 1 - D_o / D_e, with the coincidences of all pairs within an item.

    Args:
        verdicts: for each item, the verdict of each rater who gave one.

    Returns:
        ``None`` where no item has two verdicts, or all verdicts are the same.
    """
    paired = [list(v.values()) for v in verdicts if len(v) > 1]
    totals = Counter(x for item in paired for x in item)
    n = sum(totals.values())
    if len(totals) < 2:
        return None
    differing = 0.0
    for item in paired:
        counts, m = Counter(item), len(item)
        differing += sum(c * (m - c) for c in counts.values()) / (m - 1)
    expected = sum(c * (n - c) for c in totals.values()) / (n - 1)
    return 1 - differing / expected
