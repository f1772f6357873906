"""How alike several reasonings are: mean pairwise cosine, in closed form, and how sure that mean is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_pairwise_cosine(vectors: NDArray[np.float32], groups: NDArray[np.int64], n_groups: int) -> NDArray[np.float64]:
    """Mean cosine over all pairs inside each group (SFFL §3.1).

    For unit vectors the sum over pairs is (|Σe|² - n) / 2, so no pair is ever formed.

    Args:
        vectors: float (M, D), any norm; rows are normalised here.
        groups: int (M,), the group of each row, in [0, n_groups).
        n_groups: number of groups G.

    Returns:
        float64 (G,), in [-1, 1]; NaN for a group of fewer than two rows.

    Raises:
        ValueError: shapes disagree, or a vector has zero norm.
    """
    if vectors.ndim != 2 or groups.shape != (len(vectors),):
        raise ValueError(f"vectors {vectors.shape} and groups {groups.shape} do not match")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (norms > 0).all():
        raise ValueError("a reasoning has a zero embedding")
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups, minlength=n_groups)
    first = np.cumsum(counts) - counts
    sums = np.zeros((n_groups, vectors.shape[1]))
    # groups of one size are summed as one product: np.add.at and reduceat are slower than forming every pair
    for size in np.unique(counts[counts > 0]):
        same = np.flatnonzero(counts == size)
        rows = order[first[same, None] + np.arange(size)]
        sums[same] = ((1 / norms)[rows].transpose(0, 2, 1) @ vectors[rows])[:, 0]
    sizes = counts.astype(np.float64)
    pairs = sizes * (sizes - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = ((sums**2).sum(1) - sizes) / pairs
    return np.where(pairs > 0, np.clip(mean, -1.0, 1.0), np.nan)


def jackknife_error(vectors: NDArray[np.float32]) -> float | None:
    """Standard error of the mean pairwise cosine of one group, by leaving out one reasoning at a time.

    Args:
        vectors: float (n, D), any norm but zero.

    Returns:
        The error over new samples of n reasonings; ``None`` for fewer than three.
    """
    n = len(vectors)
    if n < 3:
        return None
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors, axis=1, keepdims=True)
    total = unit.sum(0)
    # |S - e|² of the sum without each, as in the closed form above
    squares = total @ total - 2 * unit @ total + 1
    without = (squares - (n - 1)) / ((n - 1) * (n - 2))
    return float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
