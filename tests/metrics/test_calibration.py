"""Stated probabilities against simulation: fitted priors, consistency's noise, the cut for a precision, reliability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from avcurate.metrics.calibration import GRID, RatePrior, SpreadPrior, cut_for, reliability
from avcurate.metrics.consistency import jackknife_error, mean_pairwise_cosine
from avcurate.metrics.solvability import needed

N, TAU = 8, 0.75


def draw(rng, size):
    """Rates as runs have them: never, by chance, always, and some in between."""
    kinds = rng.choice(4, size, p=[0.3, 0.2, 0.35, 0.15])
    return np.select([kinds == 0, kinds == 1, kinds == 2], [0.02, 0.25, 0.97], rng.random(size))


def test_without_questions_it_is_jeffreys():
    prior = RatePrior.fit(np.zeros(0, int), np.zeros(0, int))
    for k, asked in ((0, 3), (6, 8), (8, 8), (2, 5)):
        exact = betabinom(N, k + 0.5, asked - k + 0.5).sf(needed(TAU, N) - 1)
        assert prior.reach(np.array([k]), np.array([asked]), N, TAU)[0] == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("size", [200, 4000])
def test_what_is_stated_is_what_a_second_sample_does(size):
    rng = np.random.default_rng(size)
    rates = draw(rng, size)
    k, asked = rng.binomial(N, rates), np.full(size, N)
    again = rng.binomial(N, np.repeat(rates[:, None], 50, 1)) >= needed(TAU, N)
    prior = RatePrior.fit(k, asked)
    stated = prior.reach(k, asked, N, TAU)
    jeffreys = RatePrior.fit(k[:0], asked[:0]).reach(k, asked, N, TAU)
    observed = again.mean(1)
    for value in range(N + 1):
        if (k == value).sum() > 40:
            # a hundred questions tell the share to some 0.05
            assert stated[k == value].mean() == pytest.approx(observed[k == value].mean(), abs=0.15)
    assert abs(stated.mean() - observed.mean()) < 0.03
    assert reliability(np.repeat(stated, 50), again.reshape(-1))["ece"] < 0.03
    # what is known of the run makes single statements sharper
    assert ((stated[:, None] - again) ** 2).mean() < ((jeffreys[:, None] - again) ** 2).mean()
    values = prior.reach(np.arange(N + 1), np.full(N + 1, N), N, TAU)
    assert (np.diff(values) >= -1e-12).all()


def test_a_question_stopped_early_counts_exactly():
    rng = np.random.default_rng(1)
    rates = draw(rng, 6000)
    right = rng.random((6000, N)) < rates[:, None]
    # asked until the threshold is out of reach, as early exit does
    out = (~right).cumsum(1) > N - needed(TAU, N)
    asked = np.where(out.any(1), out.argmax(1) + 1, N)
    k = np.array([r[:a].sum() for r, a in zip(right, asked, strict=True)])
    whole = RatePrior.fit(right.sum(1), np.full(6000, N))
    early = RatePrior.fit(k, asked)
    again = rng.binomial(N, np.repeat(rates[:, None], 50, 1)) >= needed(TAU, N)
    stopped, stated = asked < N, early.reach(k, asked, N, TAU)
    assert stated[stopped].mean() == pytest.approx(again[stopped].mean(), abs=0.005)
    assert stated.mean() == pytest.approx(again.mean(), abs=0.005)
    # the spread of rates is found again although few were sampled in full
    for low, high in ((0, 0.1), (0.1, 0.5), (0.9, 1.01)):
        inside = (low <= GRID) & (high > GRID)
        assert early.weights[inside].sum() == pytest.approx(whole.weights[inside].sum(), abs=0.06)


def test_consistency_near_the_threshold_is_unsure():
    rng = np.random.default_rng(2)
    true = rng.normal(0.8, 0.05, 3000)
    error = rng.uniform(0.01, 0.05, 3000)
    seen, again = (true + error * rng.standard_normal(3000) for _ in range(2))
    prior = SpreadPrior.fit(seen, error, 0.8)
    assert prior.variance**0.5 == pytest.approx(0.05, rel=0.1) and prior.passing == pytest.approx(0.5, abs=0.04)
    stated = prior.passes(seen, error, 0.8)
    measured = reliability(stated, again >= 0.8)
    assert measured["ece"] < 0.03
    naive = np.where(seen >= 0.8, 1.0, 0.0)
    assert measured["brier"] < reliability(naive, again >= 0.8)["brier"]
    assert (prior.passes(seen, np.full(3000, np.nan), 0.8) == naive).all()
    assert SpreadPrior.fit(np.full(3, np.nan), np.full(3, np.nan), 0.8).passing == 1.0


def test_jackknife_is_the_spread_of_new_samples():
    rng = np.random.default_rng(3)
    centre = rng.standard_normal(32)

    def sample():
        return (centre + rng.standard_normal((N, 32))).astype(np.float32)

    def mean(vectors):
        return mean_pairwise_cosine(vectors, np.zeros(N, int), 1)[0]

    values = [mean(sample()) for _ in range(600)]
    errors = [jackknife_error(sample()) for _ in range(200)]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(values), rel=0.15)
    vectors = sample()
    left = [mean_pairwise_cosine(np.delete(vectors, i, 0), np.zeros(N - 1, int), 1)[0] for i in range(N)]
    assert jackknife_error(vectors) == pytest.approx(np.sqrt((N - 1) * np.var(left)), rel=1e-6)
    assert jackknife_error(vectors[:2]) is None and jackknife_error(np.ones((4, 3), np.float32)) == pytest.approx(
        0, abs=1e-7
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.2, 0.5, 0.5, 0.8, 0.9, 0.97, 1.0]), max_size=40), st.floats(0.05, 1))
def test_a_cut_keeps_as_many_as_the_precision_allows(values, precision):
    confidence = np.array(values, float)
    cut = cut_for(precision, confidence)
    kept = confidence[confidence >= cut.confidence]
    assert len(kept) == cut.kept and cut.of == len(values)
    if cut.kept:
        assert kept.mean() >= precision - 1e-9 and cut.precision == pytest.approx(kept.mean())
    for lower in set(values):
        if lower < cut.confidence:
            assert confidence[confidence >= lower].mean() < precision


def test_cut_and_reliability_by_hand():
    assert cut_for(0.9, np.array([1.0, 0.9, 0.5, np.nan])).kept == 2
    assert cut_for(0.95, np.array([0.9])).kept == 0 and cut_for(1.0, np.array([0.9])).confidence > 1
    for bad in (0.0, 1.5):
        with pytest.raises(ValueError, match="must be in"):
            cut_for(bad, np.array([1.0]))
    measured = reliability(np.array([0.95, 0.95, 0.15, 1.0]), np.array([True, False, False, True]))
    assert measured["brier"] == pytest.approx((0.05**2 + 0.95**2 + 0.15**2) / 4)
    assert [b["n"] for b in measured["bins"]] == [1, 3] and measured["bins"][1]["observed"] == pytest.approx(2 / 3)
    assert measured["ece"] == pytest.approx((0.15 + 3 * abs(0.9667 - 2 / 3)) / 4, abs=1e-4)
    assert reliability(np.zeros(0), np.zeros(0, bool))["brier"] is None
