"""How alike several reasonings are: mean pairwise cosine, in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_pairwise_cosine(vectors: NDArray[np.float32], groups: NDArray[np.int64], n_groups: int) -> NDArray[np.float64]:
    """Mean cosine over all pairs inside each group (SFFL §3.1).

    For unit vectors the sum over pairs is (|Σe|² - n) / 2, so no pair is ever formed.

    Args:
        vectors: float (M, D), any length; rows are normalised here.
        groups: int (M,), the group of each row, in [0, n_groups).
        n_groups: number of groups G.

    Returns:
        float64 (G,), in [-1, 1]; NaN for a group of fewer than two rows.

    Raises:
        ValueError: shapes disagree, or a vector has zero length.
    """
    if vectors.ndim != 2 or groups.shape != (len(vectors),):
        raise ValueError(f"vectors {vectors.shape} and groups {groups.shape} do not go together")
    unit = vectors.astype(np.float64)
    norms = np.linalg.norm(unit, axis=1, keepdims=True)
    if not (norms > 0).all():
        raise ValueError("a reasoning has a zero embedding")
    unit /= norms
    sums = np.zeros((n_groups, unit.shape[1]))
    np.add.at(sums, groups, unit)
    sizes = np.bincount(groups, minlength=n_groups).astype(np.float64)
    pairs = sizes * (sizes - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = ((sums**2).sum(1) - sizes) / pairs
    return np.where(pairs > 0, np.clip(mean, -1.0, 1.0), np.nan)
