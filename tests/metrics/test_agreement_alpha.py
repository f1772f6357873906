"""Krippendorff's α against the worked example of its author, and by hand; the share of a whole from strata."""

import numpy as np
import pytest

from avcurate.metrics.agreement import krippendorff_alpha
from avcurate.metrics.statistics import resampled, stratified_share


def test_alpha_is_that_of_the_worked_example():
    # "Computing Krippendorff's Alpha-Reliability" (2011). B: two of ten units, 0.095 (coincidences 10, 4, 4, 2).
    # C: four observers, missing data, 0.743
    two = ("0100000010", "1110010000")
    assert krippendorff_alpha([{"a": x, "b": y} for x, y in zip(*two, strict=True)]) == pytest.approx(0.095, abs=5e-4)
    a = [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None]
    b = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3]
    c = [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None]
    d = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None]
    items = [
        {n: str(v) for n, v in zip("abcd", unit, strict=True) if v is not None} for unit in zip(a, b, c, d, strict=True)
    ]
    assert krippendorff_alpha(items) == pytest.approx(0.743, abs=5e-4)


def test_alpha_at_its_edges():
    assert krippendorff_alpha([]) is None and krippendorff_alpha([{"a": "x"}]) is None
    assert krippendorff_alpha([{"a": "x", "b": "x"}] * 3) is None
    assert krippendorff_alpha([{"a": "x", "b": "x"}, {"a": "y", "b": "y"}]) == 1
    assert krippendorff_alpha([{"a": "x", "b": "y"}] * 50) < 0


def test_a_share_from_strata_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    sizes, rates = np.array([1000, 4000, 500]), np.array([0.6, 0.95, 0.99])
    truth = float(sizes @ rates / sizes.sum())
    held, values = 0, []
    for seed in range(300):
        right = rng.binomial(60, rates)
        value, (low, high) = stratified_share(
            [(int(s), int(r), 60) for s, r in zip(sizes, right, strict=True)], draws=2000, seed=seed
        )
        held += low <= truth <= high
        values.append(value)
    assert np.mean(values) == pytest.approx(truth, abs=0.005) and 0.9 <= held / 300 <= 0.99
    assert stratified_share([(10, 5, 5), (90, 0, 0)])[0] == 1
    with pytest.raises(ValueError, match="no stratum"):
        stratified_share([(10, 0, 0)])


def test_resampling_an_interval():
    assert resampled([], len) is None and resampled([1, 2], lambda drawn: None) is None
    low, high = resampled(list(range(100)), lambda drawn: float(np.mean(drawn)))
    assert low < 49.5 < high and high - low == pytest.approx(2 * 1.96 * 28.9 / 10, rel=0.15)
