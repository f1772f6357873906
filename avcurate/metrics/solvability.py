"""Correctness of n responses: thresholds, what k of n says, and what is still undecided."""

from __future__ import annotations

import math
from functools import cache

PRIOR = (0.5, 0.5)


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


@cache
def p_solvable(k: int, asked: int, n: int, tau_acc: float) -> float:
    """Probability that ``n`` new responses would reach ``tau_acc``, given ``k`` right of ``asked``.

    Beta-binomial: the rate has posterior Beta(k + 1/2, asked - k + 1/2) under Jeffreys' prior, and the
    new count is binomial in it.

    Returns:
        Probability in [0, 1].

    Raises:
        ValueError: ``k`` is not between 0 and ``asked``.
    """
    if not 0 <= k <= asked:
        raise ValueError(f"k {k} must lie between 0 and asked {asked}")
    a, b = PRIOR[0] + k, PRIOR[1] + asked - k
    total = sum(
        math.exp(
            math.lgamma(n + 1)
            - math.lgamma(j + 1)
            - math.lgamma(n - j + 1)
            + _log_beta(a + j, b + n - j)
            - _log_beta(a, b)
        )
        for j in range(needed(tau_acc, n), n + 1)
    )
    return min(1.0, total)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
