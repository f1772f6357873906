"""Cohen's κ by hand."""

import pytest

from avcurate.metrics.agreement import cohen_kappa


def test_kappa_by_hand():
    # observed .7, expected .5 * .6 + .5 * .4 = .5
    ours = ["y"] * 5 + ["n"] * 5
    theirs = ["y"] * 4 + ["n"] + ["y"] * 2 + ["n"] * 3
    assert cohen_kappa(ours, theirs) == pytest.approx((0.7 - 0.5) / 0.5)
    assert cohen_kappa(ours, ours) == 1
    assert cohen_kappa(["y", "n"], ["n", "y"]) == -1
    assert cohen_kappa(["y", "y"], ["y", "y"]) is None and cohen_kappa([], []) is None
