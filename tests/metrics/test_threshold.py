"""A threshold proposed from a distribution."""

import numpy as np
import pytest

from avcurate.metrics.threshold import propose_threshold


def test_two_groups_are_parted_between_them():
    rng = np.random.default_rng(0)
    values = [*rng.normal(0.55, 0.04, 300), *rng.normal(0.9, 0.03, 700)]
    proposal = propose_threshold(values)
    assert proposal.threshold == pytest.approx(0.73, abs=0.04) and proposal.separation > 0.9
    assert proposal.count == 1000 and "70%" in proposal.about


def test_the_cut_is_in_the_middle_of_a_gap():
    proposal = propose_threshold([0.2] * 20 + [0.8] * 20)
    assert proposal.threshold == pytest.approx(0.5, abs=0.02) and proposal.separation == pytest.approx(1)


@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_one_group_has_no_threshold(draw):
    rng = np.random.default_rng(1)
    values = rng.normal(0.8, 0.05, 2000) if draw == "normal" else rng.uniform(0.5, 0.9, 2000)
    proposal = propose_threshold(list(values))
    assert proposal.threshold is None and "one group" in proposal.about


@pytest.mark.parametrize("values", [[], [0.5] * 100, [0.1, 0.9], [float("nan")] * 50, [0.801] * 40 + [0.802] * 40])
def test_too_little_says_so(values):
    assert propose_threshold(values).threshold is None
