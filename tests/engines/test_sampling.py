"""The seeded sampler: the right distribution, and draws that depend on seed, step and token alone."""

import pytest

torch = pytest.importorskip("torch")

from avcurate.engines.base import Sampling  # noqa: E402
from avcurate.engines.sampling import SeededSampler  # noqa: E402


def logits(rows, size=700, seed=0):
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) * 3


def draws(sampling, scores, count, banned=(), first=0):
    """``count`` draws from one row of scores, a seed each."""
    sampler = SeededSampler(list(range(first, first + count)), sampling, list(banned))
    return sampler.draw(scores.expand(count, -1))


@pytest.mark.slow
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7), Sampling(top_k=5), Sampling(top_p=0.8)])
def test_tokens_are_drawn_as_often_as_their_probability_says(sampling):
    stats = pytest.importorskip("scipy.stats")
    scores, count = logits(1, 40), 40_000
    kept = (scores[0] / sampling.temperature).softmax(-1)
    order = kept.argsort(descending=True)
    if sampling.top_k:
        kept[order[sampling.top_k :]] = 0
    before = kept[order].cumsum(-1) - kept[order]
    kept[order[before >= sampling.top_p]] = 0
    expected = (kept / kept.sum()).double() * count
    seen = torch.bincount(draws(sampling, scores, count), minlength=40).double()
    assert seen[expected == 0].sum() == 0
    often = expected > 5
    seen = torch.cat([seen[often], seen[~often].sum()[None]])
    expected = torch.cat([expected[often], expected[~often].sum()[None]])
    seen, expected = seen[expected > 0], expected[expected > 0]
    assert stats.chisquare(seen, expected * seen.sum() / expected.sum()).pvalue > 1e-4


@pytest.mark.slow
def test_consecutive_seeds_and_steps_are_independent():
    stats = pytest.importorskip("scipy.stats")
    sampler = SeededSampler(list(range(20_000)), Sampling(), [])
    even = torch.zeros(20_000, 2)
    steps = torch.stack([sampler.draw(even) for _ in range(2)])
    pairs = [(steps[0], steps[1]), (steps[0][:-1], steps[0][1:])]
    for one, other in pairs:
        table = torch.bincount(one * 2 + other, minlength=4).reshape(2, 2)
        assert stats.chi2_contingency(table.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=20), Sampling(top_p=0.9), Sampling(0.0)])
@pytest.mark.parametrize("size", [90, 700, 9_000])
def test_a_response_does_not_depend_on_its_batch(sampling, size):
    scores, seeds = logits(6, size), [5, 2**62, 7, 7 + 2**32, 8, 9]
    together, left = SeededSampler(seeds, sampling, [3]), SeededSampler(seeds, sampling, [3])
    alone = [SeededSampler([s], sampling, [3]) for s in seeds]
    left.draw(scores)
    left.keep(torch.tensor([4, 1]))
    for step in range(3):
        expected = together.draw(scores + step)
        assert expected.tolist() == [int(a.draw(scores[i : i + 1] + step)) for i, a in enumerate(alone)]
        if step:
            assert left.draw(scores[[4, 1]] + step).tolist() == expected[[4, 1]].tolist()


def test_seeds_that_share_their_low_bits_draw_differently():
    even = torch.zeros(4, 1000)
    drawn = SeededSampler([7, 7 + 2**32, 7 + 2**40, 8], Sampling(), []).draw(even)
    assert len(set(drawn.tolist())) == 4


def test_truncation_keeps_the_noise_of_each_token():
    """With every token kept, top-k and top-p draw what plain sampling draws: noise belongs to a token, not a rank."""
    scores = logits(50, 5_000)
    plain = SeededSampler(list(range(50)), Sampling(), []).draw(scores)
    for sampling in (Sampling(top_k=5_000), Sampling(top_p=0.999999)):
        drawn = SeededSampler(list(range(50)), sampling, []).draw(scores)
        assert (drawn == plain).sum() >= 49


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=3), Sampling(top_p=0.5), Sampling(0.0)])
def test_banned_tokens_are_never_drawn(sampling):
    scores = logits(1, 1_000)
    scores[0, [11, 500, 999]] = 50.0
    before = scores.clone()
    drawn = draws(sampling, scores, 300, banned=[11, 500, 999])
    assert not set(drawn.tolist()) & {11, 500, 999}
    assert torch.equal(scores, before)


def test_the_highest_tokens_are_those_of_a_full_sort():
    for size in (257, 1_000, 10_007):
        scores = logits(8, size, seed=size)
        top, tokens = SeededSampler([0] * 8, Sampling(), [1, 2])._highest(scores, 20)
        allowed = scores.clone()
        allowed[:, [1, 2]] = -torch.inf
        expected = allowed.topk(20)
        assert torch.equal(top, expected.values) and torch.equal(tokens, expected.indices)


def test_greedy_takes_the_likeliest():
    scores = logits(5)
    assert SeededSampler([0] * 5, Sampling(0.0), []).draw(scores).tolist() == scores.argmax(-1).tolist()
