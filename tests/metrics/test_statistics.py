"""Intervals and tests against published or worked-out values."""

import numpy as np
import pytest

from avcurate.metrics.statistics import mcnemar, mean_interval, paired_interval, rank_correlations, wilson


@pytest.mark.parametrize(
    ("right", "asked", "low", "high"),
    # Newcombe 1998, Table I: Wilson's score interval without continuity correction
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_newcombe(right, asked, low, high):
    assert wilson(right, asked) == pytest.approx((low, high), abs=5e-5)


def test_nothing_asked_is_anything():
    assert wilson(0, 0) == (0, 1)


def test_the_interval_of_a_mean_is_that_of_the_normal_for_many_values():
    values = np.array([0.0, 1.0] * 200)
    half = 1.959964 * 0.5 / np.sqrt(400)
    assert mean_interval(values) == pytest.approx((0.5 - half, 0.5 + half), abs=0.006)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(np.array([0.3])) == (0.3, 0.3)


def test_pairs_are_drawn_together():
    """The two means vary with the questions; their difference does not."""
    ours = np.linspace(0, 1, 50)
    assert paired_interval(ours, ours - 0.25) == pytest.approx((0.25, 0.25, 0.25))


def test_mcnemar_by_hand():
    ours = np.array([True] * 9 + [False] * 1 + [True] * 30)
    theirs = np.array([False] * 9 + [True] * 1 + [True] * 30)
    # two tails of Binomial(10, 1/2) at 9 of 10
    assert mcnemar(ours, theirs) == pytest.approx(2 * 11 / 1024)
    assert mcnemar(ours, ours) == 1


def test_ranks():
    correlations = rank_correlations(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 4, 3]))
    assert correlations["spearman"]["value"] == pytest.approx(0.8) and correlations["kendall"][
        "value"
    ] == pytest.approx(2 / 3)
    assert rank_correlations(np.ones(5), np.arange(5.0))["kendall"] == {"value": None, "interval": None}


def test_correlations_want_three_rows_and_two_values_on_each_side():
    """The fewest rows that say anything, and draws in which one side is constant."""
    few = rank_correlations(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    assert few["spearman"]["value"] is None
    three = rank_correlations(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    assert three["spearman"]["value"] == pytest.approx(1.0) and three["kendall"]["value"] == pytest.approx(1.0)
    assert all(np.isfinite(three["spearman"]["interval"]))
    for ours, human in (([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])):
        assert rank_correlations(np.array(ours), np.array(human))["kendall"]["value"] is None
    # one row differs on one side: a third of the draws leave it out, and must not become nan
    uneven = rank_correlations(np.arange(6.0), np.array([0.0, 0, 0, 0, 0, 1]))
    assert all(np.isfinite(uneven["spearman"]["interval"]))
