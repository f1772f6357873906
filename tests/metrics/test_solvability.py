"""Thresholds at their edges, and the Beta-binomial against a sum and against sampling."""

import numpy as np
import pytest
from scipy.stats import betabinom

from avcurate.metrics.solvability import can_reach, needed, p_solvable


@pytest.mark.parametrize(("tau", "n", "need"), [(0.75, 8, 6), (0.625, 8, 5), (1.0, 8, 8), (0.7, 10, 7), (0.01, 8, 1)])
def test_needed(tau, n, need):
    assert needed(tau, n) == need


@pytest.mark.parametrize("tau", [0.0, 1.01, -1])
def test_a_threshold_out_of_range_is_refused(tau):
    with pytest.raises(ValueError, match="tau_acc"):
        needed(tau, 8)


def test_sampling_stops_exactly_when_the_threshold_is_out_of_reach():
    assert can_reach(0, 2, 8, 0.75)
    assert not can_reach(0, 3, 8, 0.75)
    assert can_reach(3, 5, 8, 0.75)
    assert not can_reach(2, 5, 8, 0.75)


@pytest.mark.parametrize(("k", "asked"), [(0, 3), (6, 8), (8, 8), (2, 5)])
def test_p_solvable_is_the_beta_binomial_tail(k, asked):
    expected = betabinom(8, k + 0.5, asked - k + 0.5).sf(needed(0.75, 8) - 1)
    assert p_solvable(k, asked, 8, 0.75) == pytest.approx(expected, abs=1e-12)


def test_p_solvable_against_simulation():
    rng = np.random.default_rng(0)
    rate = rng.beta(6.5, 2.5, 200_000)
    assert (rng.binomial(8, rate) >= 6).mean() == pytest.approx(p_solvable(6, 8, 8, 0.75), abs=0.005)


def test_p_solvable_rises_with_every_right_answer():
    values = [p_solvable(k, 8, 8, 0.75) for k in range(9)]
    assert values == sorted(values) and values[0] < 0.01 and values[-1] > 0.95
