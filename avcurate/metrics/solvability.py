"""Correctness of n responses: thresholds, and what is still undecided."""

from __future__ import annotations

import math


def needed(tau_acc: float, n: int) -> int:
    """Minimum number of right answers of ``n`` to reach the correctness rate ``tau_acc`` (SFFL Eq. 1).

    Raises:
        ValueError: ``tau_acc`` is not in (0, 1] or ``n`` is not positive.
    """
    if not 0 < tau_acc <= 1 or n < 1:
        raise ValueError(f"tau_acc {tau_acc} must be in (0, 1] and n {n} positive")
    return math.ceil(tau_acc * n - 1e-9)


def can_reach(k: int, asked: int, n: int, tau_acc: float) -> bool:
    """Whether ``k`` right of ``asked`` can still reach the threshold at ``n``."""
    return k + (n - asked) >= needed(tau_acc, n)
