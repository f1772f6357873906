"""How likely a new sample of responses repeats what a stored one shows, with priors fitted to the run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from avcurate.metrics.solvability import needed
from avcurate.metrics.statistics import binomial_tail, jeffreys_cells, normal_cdf, wilson

GRID = np.linspace(0.0, 1.0, 101)
PSEUDO, SHARE = 5.0, 0.01
"""Jeffreys' prior counts for so many questions and that share of them: with few the fit stays near it, and smooth."""
_STEPS = 300


@dataclass(frozen=True)
class RatePrior:
    """How right-answer rates are spread over a setting's questions: weights (101,) on a grid over [0, 1].

    Fitted by maximum likelihood without assuming a shape (Kiefer and Wolfowitz 1956, by expectation-maximisation),
    since rates pile up at 0, at chance and at 1. Which responses were asked for depends on those before them alone, so
    a question that was stopped early counts by its binomial likelihood like any other.
    """

    weights: NDArray[np.float64]

    @staticmethod
    def fit(k: NDArray[np.int64], asked: NDArray[np.int64]) -> RatePrior:
        """From right answers and responses of each question; those without responses say nothing."""
        base = jeffreys_cells(len(GRID))
        pairs, counts = np.unique(np.stack([k, asked], 1)[asked > 0], axis=0, return_counts=True)
        weights = base
        if len(pairs):
            likelihood = _likelihood(pairs[:, 0], pairs[:, 1])
            for _ in range(_STEPS):
                shares = likelihood * weights
                shares /= shares.sum(1, keepdims=True)
                weights = (PSEUDO + SHARE * counts.sum()) * base + counts @ shares
                weights /= weights.sum()
        return RatePrior(weights)

    def reach(self, k: NDArray[np.int64], asked: NDArray[np.int64], n: int, tau_acc: float) -> NDArray[np.float64]:
        """Probability that ``n`` new responses reach ``tau_acc``, given ``k`` right of ``asked``; each (N,)."""
        posterior = _likelihood(k, asked) * self.weights
        posterior /= posterior.sum(1, keepdims=True)
        reaches = binomial_tail(needed(tau_acc, n), n, GRID)
        # row by row: the last digits of a matrix product depend on what else is in the matrix
        return np.asarray(np.clip((posterior * reaches).sum(1), 0.0, 1.0))


def _likelihood(k: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, 101), up to a factor for each row."""
    # 0^0 is 1: no wrong answer says nothing against a rate of 1
    return np.asarray(GRID ** k[:, None] * (1 - GRID) ** (asked - k)[:, None])


@dataclass(frozen=True)
class SpreadPrior:
    """How true consistencies are spread over a setting's questions: normal, with this centre and variance.

    Attributes:
        centre: mean; variance: of the true values, without sampling noise; passing: share at or above the threshold
            among questions that were sampled in full.
    """

    centre: float
    variance: float
    passing: float

    @staticmethod
    def fit(consistency: NDArray[np.float64], error: NDArray[np.float64], tau_cot: float) -> SpreadPrior:
        """From consistencies (NaN: not known) and their standard errors (NaN: not known)."""
        # sorted, so that the sums have the same last digits whatever the order of the rows
        known = np.sort(consistency[~np.isnan(consistency)])
        if not len(known):
            return SpreadPrior(0.0, 0.0, 1.0)
        both = ~np.isnan(consistency) & ~np.isnan(error)
        noise = float((np.sort(error[both]) ** 2).mean()) if both.any() else 0.0
        variance = max(float(known.var()) - noise, 0.0)
        return SpreadPrior(float(known.mean()), variance, float((known >= tau_cot).mean()))

    def passes(
        self, consistency: NDArray[np.float64], error: NDArray[np.float64], tau_cot: float
    ) -> NDArray[np.float64]:
        """Probability that a new sample's consistency reaches the threshold; 0 or 1 where no error is known."""
        squared = np.where(np.isnan(error), 0.0, error) ** 2
        total = self.variance + squared
        share = np.divide(self.variance, total, out=np.ones_like(total), where=total > 0)
        mean = self.centre + share * (consistency - self.centre)
        # of the true value given what was seen, and of a new sample around it
        deviation = np.sqrt(share * squared + squared)
        beyond = np.divide(mean - tau_cot, deviation, out=np.zeros_like(mean), where=deviation > 0)
        return np.where(deviation > 0, normal_cdf(beyond), (consistency >= tau_cot).astype(float))


@dataclass(frozen=True)
class Prior:
    """What a run's questions say of one setting."""

    rate: RatePrior
    spread: SpreadPrior

    @cached_property
    def digest(self) -> list[float]:
        """Numbers that change when the prior does."""
        values = [*self.rate.weights, self.spread.centre, self.spread.variance, self.spread.passing]
        return [round(float(v), 12) for v in values]


@dataclass(frozen=True)
class Cut:
    """Labels with at least this confidence.

    Attributes:
        confidence: the least; above 1 where no cut gives the wanted precision.
        precision: expected share of them that a new sample repeats.
        kept: how many; of: how many labels there are.
    """

    confidence: float
    precision: float | None
    kept: int
    of: int


def cut_for(precision: float, confidence: NDArray[np.float64]) -> Cut:
    """The lowest confidence at which those at or above it are expected to be right ``precision`` of the time.

    Raises:
        ValueError: ``precision`` is not in (0, 1].
    """
    if not 0 < precision <= 1:
        raise ValueError(f"precision {precision} must be in (0, 1]")
    ordered = np.sort(confidence[~np.isnan(confidence)])[::-1]
    means = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    # labels of equal confidence stay together
    last = np.append(ordered[1:] < ordered[:-1], True) if len(ordered) else np.zeros(0, bool)
    enough = np.flatnonzero((means >= precision - 1e-12) & last)
    if not len(enough):
        return Cut(float(np.nextafter(1.0, 2.0)), None, 0, len(ordered))
    i = int(enough[-1])
    return Cut(float(ordered[i]), float(means[i]), i + 1, len(ordered))


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10) -> dict[str, object]:
    """Stated against observed.

    Args:
        confidence: float64 (N,) in [0, 1]; right: bool (N,).

    Returns:
        ``n``, ``stated`` and ``observed`` means, ``brier`` score, ``ece`` (mean gap over bins, by their size), and
        ``bins``: of equal width, those with rows: ``n``, ``stated``, ``observed``, Wilson's 95 % ``interval``.
    """
    n = len(confidence)
    if n == 0:
        return {"n": 0, "stated": None, "observed": None, "brier": None, "ece": None, "bins": []}
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    made, gap = [], 0.0
    for b in range(bins):
        inside = places == b
        size, hits = int(inside.sum()), int(right[inside].sum())
        if size:
            stated = float(confidence[inside].mean())
            gap += size / n * abs(stated - hits / size)
            made.append({"n": size, "stated": stated, "observed": hits / size, "interval": list(wilson(hits, size))})
    return {
        "n": n,
        "stated": float(confidence.mean()),
        "observed": float(right.mean()),
        "brier": float(((confidence - right) ** 2).mean()),
        "ece": gap,
        "bins": made,
    }
