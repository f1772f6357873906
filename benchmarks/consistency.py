"""Mean pairwise cosine of 1,000 groups of 8 reasonings: closed form against a loop over pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from avcurate.metrics.consistency import mean_pairwise_cosine
from benchmarks.harness import compare

GROUPS, N, WIDTH = 1000, 8, 1024


def main() -> None:
    """Print the ratio, after checking that both give the same numbers."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(GROUPS * N, WIDTH)).astype(np.float32)
    groups = np.repeat(np.arange(GROUPS), N)

    def closed() -> np.ndarray:
        return mean_pairwise_cosine(vectors, groups, GROUPS)

    def loop() -> np.ndarray:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.array(
            [np.mean([unit[g * N + i] @ unit[g * N + j] for i, j in combinations(range(N), 2)]) for g in range(GROUPS)]
        )

    np.testing.assert_allclose(closed(), loop(), atol=1e-5)
    compare("consistency: pairwise loop / closed form", closed, loop)


if __name__ == "__main__":
    main()
