"""Thresholds at their edges."""

import pytest

from avcurate.metrics.solvability import can_reach, needed


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
