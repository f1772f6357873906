"""The closed form is the mean over all pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avcurate.metrics.consistency import mean_pairwise_cosine


def loop(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(len(unit)) for j in range(i)]
    return np.mean(pairs)


@given(st.lists(st.integers(2, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_equals_the_loop_for_any_grouping(sizes, seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    vectors = rng.normal(size=(len(groups), 12)).astype(np.float32) + 0.1
    order = rng.permutation(len(groups))
    means = mean_pairwise_cosine(vectors[order], groups[order], len(sizes))
    expected = [loop(vectors[groups == g].astype(np.float64)) for g in range(len(sizes))]
    np.testing.assert_allclose(means, expected, atol=1e-6)


def test_hand_worked():
    same = np.array([[2.0, 0.0], [5.0, 0.0]], np.float32)
    across = np.array([[1.0, 0.0], [0.0, 3.0]], np.float32)
    against = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], np.float32)
    vectors = np.concatenate([same, across, against])
    means = mean_pairwise_cosine(vectors, np.array([0, 0, 1, 1, 2, 2, 2]), 4)
    np.testing.assert_allclose(means[:3], [1, 0, -1 / 3], atol=1e-9)
    assert np.isnan(means[3])


def test_a_zero_vector_is_an_error_not_a_number():
    with pytest.raises(ValueError, match="zero embedding"):
        mean_pairwise_cosine(np.zeros((2, 3), np.float32), np.array([0, 0]), 1)
