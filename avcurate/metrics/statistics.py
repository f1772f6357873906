"""Intervals, tests and rank correlations: the only module that uses scipy's statistics.

All intervals are 95 %. Bootstrap intervals are seeded, so the same numbers give the same interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
BATCH_VALUES = 4_000_000
Interval = tuple[float, float]
T = TypeVar("T")


def wilson(right: int, asked: int) -> Interval:
    """Wilson's score interval of a rate (Wilson 1927); the whole of [0, 1] where nothing was asked."""
    if asked == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest

    interval = binomtest(right, asked).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def mean_interval(values: NDArray[np.float64], *, draws: int = 1000, seed: int = 0) -> Interval:
    """Bootstrap interval of a mean.

    Args:
        values: float64 (N,), N at least 1.
    """
    if len(values) < 2:
        return float(values.mean()), float(values.mean())
    return _bootstrap(values, lambda drawn, axis: np.mean(drawn, axis=axis), draws, seed)


def paired_interval(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], *, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Difference of two means over the same questions, and its bootstrap interval; questions are drawn.

    Args:
        ours: float64 (N,), score of each question in [0, 1].
        theirs: float64 (N,), of the same questions.
    """
    difference = ours - theirs
    return (float(difference.mean()), *mean_interval(difference, draws=draws, seed=seed))


def mcnemar(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Exact two-sided p-value that two paired right/wrong answers differ by chance (McNemar 1947)."""
    from scipy.stats import binomtest

    b, c = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    return float(binomtest(b, b + c).pvalue) if b + c else 1.0


def rank_correlations(
    ours: NDArray[np.float64], human: NDArray[np.float64], *, draws: int = 1000, seed: int = 0
) -> dict[str, dict[str, float | list[float] | None]]:
    """Spearman's rho and Kendall's tau-b with bootstrap intervals over rows.

    Args:
        ours: float64 (N,) scores; human: float64 (N,) of the same captions.

    Returns:
        ``{"spearman": {"value", "interval"}, "kendall": ...}``; ``None`` where either side never varies.
    """
    from scipy.stats import kendalltau, spearmanr

    measures: dict[str, Callable[[Any, Any], Any]] = {"spearman": spearmanr, "kendall": kendalltau}
    if len(ours) < 3 or len(set(ours)) < 2 or len(set(human)) < 2:
        return {name: {"value": None, "interval": None} for name in measures}
    rng = np.random.default_rng(seed)
    sets = [rng.integers(len(ours), size=len(ours)) for _ in range(draws)]
    # scipy's bootstrap would warn and give nan for draws in which one side does not vary
    varied = [d for d in sets if len(set(ours[d])) > 1 and len(set(human[d])) > 1]
    correlations: dict[str, dict[str, float | list[float] | None]] = {}
    for name, measure in measures.items():
        drawn = np.array([measure(ours[d], human[d]).statistic for d in varied])
        correlations[name] = {
            "value": float(measure(ours, human).statistic),
            "interval": list(_middle(drawn)) if len(drawn) else None,
        }
    return correlations


def ratio_intervals(
    counts: NDArray[np.int64],
    ratios: Callable[[NDArray[np.int64]], dict[str, NDArray[np.float64]]],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap intervals of measures that are ratios of sums over rows.

    Not by scipy, which would hold every drawn row: how often each is drawn is enough, and fits 100,000 rows.

    Args:
        counts: int (N, K), what each row adds to each sum.
        ratios: sums (D, K) to measures, each float64 (D,), nan where undefined.
    """
    rng = np.random.default_rng(seed)
    n = len(counts)
    sums = np.concatenate(
        [
            np.stack([np.bincount(d, minlength=n) for d in rng.integers(n, size=(10, n))]) @ counts
            for _ in range(draws // 10)
        ]
    )
    return {name: _middle(v[~np.isnan(v)]) for name, v in ratios(sums).items()}


def stratified_share(
    strata: Sequence[tuple[int, int, int]], *, draws: int = 20_000, seed: int = 0
) -> tuple[float, Interval]:
    """A share of a whole from samples of its strata, each weighted by its size, and its credible interval.

    Each stratum's share has a posterior under Jeffreys' prior, so that a sample without errors does not say there are
    none; the interval is that of their weighted sum (Brown, Cai and DasGupta 2001, for one stratum).

    Args:
        strata: (its size, right ones in its sample, size of the sample) of each; those without a sample are left out.

    Raises:
        ValueError: no stratum has a sample.
    """
    known = [(size, right, n) for size, right, n in strata if n and size]
    if not known:
        raise ValueError("no stratum has a sample")
    sizes, right, n = (np.array(c, np.float64) for c in zip(*known, strict=True))
    weights = sizes / sizes.sum()
    rng = np.random.default_rng(seed)
    drawn = rng.beta(right + 0.5, n - right + 0.5, (draws, len(n))) @ weights
    return float(weights @ (right / n)), _middle(drawn)


def resampled(
    items: Sequence[T], measure: Callable[[Sequence[T]], float | None], *, draws: int = 500, seed: int = 0
) -> Interval | None:
    """Bootstrap interval of a measure of some items that is not a mean; ``None`` where no draw has a value."""
    rng = np.random.default_rng(seed)
    values = [
        measure([items[i] for i in rng.integers(len(items), size=len(items))]) for _ in range(draws if items else 0)
    ]
    known = np.array([v for v in values if v is not None], np.float64)
    return _middle(known) if len(known) else None


def binomial_tail(least: int, n: int, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of at least so many of n, at each rate."""
    from scipy.stats import binom

    return np.asarray(binom.sf(least - 1, n, rates))


def jeffreys_cells(count: int) -> NDArray[np.float64]:
    """Mass of Jeffreys' prior of a rate, Beta(1/2, 1/2), in ``count`` equal cells of [0, 1]."""
    from scipy.stats import beta

    return np.diff(beta.cdf(np.linspace(0.0, 1.0, count + 1), 0.5, 0.5))


def normal_cdf(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normal distribution function."""
    from scipy.stats import norm

    return np.asarray(norm.cdf(values))


def _bootstrap(values: NDArray[np.float64], statistic: Callable[..., Any], draws: int, seed: int) -> Interval:
    from scipy.stats import bootstrap

    interval = bootstrap(
        (values,),
        statistic,
        n_resamples=draws,
        batch=max(1, BATCH_VALUES // len(values)),
        vectorized=True,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _middle(drawn: NDArray[np.float64]) -> Interval:
    if not len(drawn):
        return float("nan"), float("nan")
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def t_interval(n: int, total: float, squares: float) -> Interval:
    """Student's interval of a mean from running sums; for curves, whose many points a bootstrap would take minutes.

    Args:
        n: values; total: their sum; squares: the sum of their squares.
    """
    mean = total / n
    variance = max(0.0, (squares - n * mean * mean) / (n - 1)) if n > 1 else 0.0
    if variance == 0.0:
        return mean, mean
    from scipy.stats import t

    low, high = t.interval(LEVEL, n - 1, loc=mean, scale=(variance / n) ** 0.5)
    return float(low), float(high)
