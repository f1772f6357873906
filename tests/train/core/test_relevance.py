"""Entropy, Δh and both weights against hand-worked numbers and against properties that hold for any numbers."""

import math

import pytest
import torch

from avcurate.train.core.relevance import (
    differential_entropy,
    entropy,
    inverse_relevance,
    relevance_mask,
    scaled_temperature,
)

DELTA = torch.tensor([[0.0, 0.5, -1.0, 2.0]])
ONES = torch.ones(1, 4)
GATE = torch.tensor([[1.0, 0.0, 1.0, 1.0]])


def close(actual, expected, places=6):
    assert actual.flatten().tolist() == pytest.approx(expected, abs=0.6 * 10**-places)


def test_worked_numbers():
    close(scaled_temperature(ONES, 1.0), [1.386294])
    close(relevance_mask(DELTA, ONES), [0.458527, 0.657663, 0.943284, 1.940526])
    close(inverse_relevance(DELTA, ONES, GATE), [1.741769, 0, 0.846668, 0.411563])
    close(scaled_temperature(torch.ones(1, 1), 1.0), [0.693147])
    one = torch.ones(1, 1)
    close(relevance_mask(one * 3, one), [1])
    close(inverse_relevance(one * 3, one, one), [1])
    close(relevance_mask(torch.tensor([[1.0, -1.0]]), torch.ones(1, 2)), [1, 1])


def test_an_outlier_is_capped_and_the_mean_then_falls_below_one():
    delta, mask = torch.zeros(1, 20), torch.ones(1, 20)
    delta[0, 0] = 12
    omega = relevance_mask(delta, mask)
    close(omega[:, :2], [5.0, 0.270599])
    assert float(omega.sum()) == pytest.approx(10.141377, abs=1e-5)
    nu = inverse_relevance(delta, mask, mask)
    close(nu[:, :2], [0.019152, 1.051624])
    assert float(nu.sum()) == pytest.approx(20, abs=1e-4)
    # in the inverse it is the smallest that stands out
    close(inverse_relevance(12 - delta, mask, mask)[:, :2], [5.0, 0.270599])
    assert float(relevance_mask(delta, mask, cap=0).mean()) == pytest.approx(1, abs=1e-5)
    assert float(relevance_mask(delta, mask, cap=1).max()) == 1


@pytest.mark.parametrize("seed", range(5))
def test_padding_sign_and_uniform_entropy_change_nothing(seed):
    g = torch.Generator().manual_seed(seed)
    delta = torch.randn(3, 9, generator=g)
    mask = torch.arange(9)[None] < torch.tensor([[9], [5], [1]])
    omega = relevance_mask(delta, mask, cap=0)
    assert torch.allclose(omega, relevance_mask(-delta, mask, cap=0))
    assert torch.allclose(omega.sum(1), mask.sum(1).float(), atol=1e-5) and (omega[~mask] == 0).all()
    wild = torch.where(mask, delta, torch.full_like(delta, 50.0))
    assert torch.allclose(omega, relevance_mask(wild, mask, cap=0))
    shorter = relevance_mask(delta[1:2, :5], mask[1:2, :5], cap=0)
    assert torch.allclose(omega[1, :5], shorter[0], atol=1e-6)
    assert torch.allclose(relevance_mask(torch.full((3, 9), 0.7), mask), mask.float())
    none = inverse_relevance(delta, mask, torch.zeros_like(mask))
    assert (none == 0).all()


def test_entropy_is_that_of_the_whole_vocabulary_and_chunks_change_nothing():
    flat = torch.zeros(1, 3, 50)
    assert torch.allclose(entropy(flat), torch.full((1, 3), math.log(50)))
    logits = torch.randn(2, 600, 11, dtype=torch.float64, requires_grad=True)
    p = (logits / 1.3).softmax(-1)
    assert torch.allclose(entropy(logits, 1.3), -(p * p.log()).sum(-1))
    # a vocabulary larger than a chunk, and no batch
    wide = torch.randn(300, 700, dtype=torch.float64)
    p = wide.softmax(-1)
    assert torch.allclose(entropy(wide), -(p * p.log()).sum(-1))
    assert torch.allclose(entropy(wide[None]), entropy(wide)[None])
    small = torch.randn(1, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(entropy, (small,))


def test_differential_entropy_is_a_signed_difference_and_zero_on_padding():
    text_only, full = torch.tensor([[2.0, 0.5, 7.0]]), torch.tensor([[0.5, 2.0, 1.0]])
    delta = differential_entropy(text_only, full, torch.tensor([[1, 1, 0]]))
    assert delta.tolist() == [[1.5, -1.5, 0]]


def test_non_finite_values_are_refused_and_no_gradient_flows_back():
    full = torch.rand(1, 4, requires_grad=True)
    assert not differential_entropy(torch.rand(1, 4), full, ONES).requires_grad
    broken = torch.tensor([[1.0, float("nan"), 0, 0]])
    with pytest.raises(ValueError, match="not finite"):
        differential_entropy(broken, torch.zeros(1, 4), ONES)
    beyond = torch.tensor([[1.0, 1.0, 1.0, float("nan")]])
    kept = differential_entropy(beyond, torch.zeros(1, 4), torch.tensor([[1, 1, 1, 0]]))
    assert kept.tolist() == [[1, 1, 1, 0]]
