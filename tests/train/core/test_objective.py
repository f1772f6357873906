"""Each loss against numbers worked by hand, against plain GRPO, and its gradients where they may and may not flow."""

import math

import pytest
import torch

from avcurate.train.core.objective import (
    AttentionLoss,
    attention_loss,
    clipped_surrogate,
    group_advantages,
    kl_k3,
    reweighted_policy_loss,
    total_loss,
)
from avcurate.train.core.relevance import inverse_relevance, relevance_mask

DELTA = torch.tensor([[0.0, 0.5, -1.0, 2.0]])
ONES = torch.ones(1, 4)
GATE = torch.tensor([[1.0, 0.0, 1.0, 1.0]])
RATIO = torch.tensor([[1.0, 1.5, 0.5, 1.0]])
MASS = torch.tensor([[0.4, 0.2, 0.05, 0.01]])


def test_group_advantages_by_hand():
    advantages = group_advantages(torch.tensor([1.0, 0, 0, 1, 2, 2, 2, 2]), 4)
    assert advantages[:4].tolist() == pytest.approx([0.865875, -0.865875, -0.865875, 0.865875], abs=1e-6)
    assert advantages[4:].tolist() == [0, 0, 0, 0]
    assert group_advantages(torch.tensor([1.0, 0]), 2).tolist() == pytest.approx([0.707007, -0.707007], abs=1e-6)
    for rewards, group in ((torch.ones(5), 4), (torch.ones(4), 1), (torch.tensor([1.0, float("nan")]), 2)):
        with pytest.raises(ValueError):
            group_advantages(rewards, group)


@pytest.mark.parametrize(
    ("advantage", "tokens", "loss"),
    [(-1.2, [1.2, 1.8, 0.96, 1.2], 1.242052), (1.2, [-1.2, -1.44, -0.6, -1.2], -1.097967)],
)
def test_the_reweighted_policy_loss_by_hand(advantage, tokens, loss):
    surrogate = clipped_surrogate(RATIO, torch.tensor([advantage]))
    assert surrogate[0].tolist() == pytest.approx(tokens)
    omega = relevance_mask(DELTA, ONES)
    assert float(reweighted_policy_loss(surrogate, omega, ONES)) == pytest.approx(loss, abs=1e-6)
    # the scale of the weights does not matter, and equal weights are plain GRPO
    assert float(reweighted_policy_loss(surrogate, 7 * omega, ONES)) == pytest.approx(loss, abs=1e-6)
    plain = float(reweighted_policy_loss(surrogate, torch.ones(1, 4), ONES))
    assert plain == pytest.approx(sum(tokens) / 4)


def test_the_policy_loss_is_a_mean_over_completions_and_one_without_tokens_counts_as_zero():
    surrogate = torch.cat([clipped_surrogate(RATIO, torch.tensor([1.2])), torch.full((1, 4), float("nan"))])
    surrogate.requires_grad_()
    weights, mask = 0.1 * relevance_mask(DELTA, ONES).repeat(2, 1), torch.tensor([[1.0] * 4, [0.0] * 4])
    loss = reweighted_policy_loss(surrogate, weights, mask)
    assert loss.item() == pytest.approx(-1.097967 / 2, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, surrogate)
    assert (gradient[0] > 0).all() and (gradient[1] == 0).all()


def test_weights_can_be_put_into_the_advantage():
    g = torch.Generator().manual_seed(0)
    mask = (torch.arange(7)[None] < torch.tensor([[7], [4], [2]])).double()
    logp = torch.randn(3, 7, generator=g, dtype=torch.float64, requires_grad=True)
    old = logp.detach() + 0.3 * torch.randn(3, 7, generator=g, dtype=torch.float64)
    advantage = torch.tensor([1.3, -0.7, 0.2], dtype=torch.float64)
    omega = relevance_mask(torch.randn(3, 7, generator=g, dtype=torch.float64), mask)
    ours = reweighted_policy_loss(clipped_surrogate((logp - old).exp(), advantage), omega, mask)
    # the surrogate is positively homogeneous in the advantage: weights can be put into it, one per token
    per_token = clipped_surrogate(
        (logp - old).exp(), advantage[:, None] * omega * mask.sum(1, keepdim=True) / omega.sum(1, keepdim=True)
    )
    grpo = ((per_token * mask).sum(1) / mask.sum(1)).mean()
    assert float(ours) == pytest.approx(float(grpo), abs=1e-12)
    gradient, expected = (torch.autograd.grad(x, logp, retain_graph=True)[0] for x in (ours, grpo))
    assert torch.allclose(gradient, expected, atol=1e-12) and (gradient[mask == 0] == 0).all()


def test_kl_by_hand_and_never_below_zero():
    zero = torch.zeros(1, 1)
    for d, expected in ((0.3, 0.049859), (-0.3, 0.040818), (0.0, 0.0)):
        assert float(kl_k3(zero, torch.tensor([[d]]), torch.ones(1, 1))) == pytest.approx(expected, abs=1e-6)
    logp, mask = torch.randn(2, 5), torch.tensor([[1.0] * 5, [1, 1, 0, 0, 0]])
    garbage = torch.where(mask.bool(), torch.randn(2, 5), torch.full((2, 5), float("inf")))
    assert 0 <= float(kl_k3(logp, garbage, mask)) < float("inf")


def test_kl_is_a_mean_over_tokens_then_over_completions():
    logp = torch.tensor([[-1.0, -2.0, -3.0], [-0.5, -4.0, -4.0], [-1.0, -1.0, -1.0]])
    reference = logp + torch.tensor([[0.3, -0.3, 0.0], [0.3, 2.0, 2.0], [1.0, 1.0, 1.0]])
    mask = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 0, 0]])
    expected = ((0.049859 + 0.040818) / 3 + 0.049859 + 0) / 3
    assert float(kl_k3(logp, reference, mask)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("how", "accuracy", "loss"),
    [
        (AttentionLoss(), 0.0, 1.678619),
        (AttentionLoss(eps=0.1), 0.0, 0.965972),
        (AttentionLoss(exponent=0), 0.0, 2.411045),
        (AttentionLoss(), 1.0, 0.167862),
        (AttentionLoss(floor=0), 1.0, 0.0),
        (AttentionLoss(), float("nan"), 1.678619),
        (AttentionLoss(prefactor_cap=0.6), 0.0, 1.678619 / 2),
    ],
)
def test_the_attention_loss_by_hand(how, accuracy, loss):
    nu = inverse_relevance(DELTA, ONES, GATE)
    result = attention_loss(MASS, nu, ONES, GATE, torch.tensor([-1.2]), torch.tensor([accuracy]), how)
    assert float(result) == pytest.approx(loss, abs=1e-6)


def test_the_attention_loss_is_a_mean_over_completions_and_padding_changes_nothing():
    mask = torch.tensor([[1.0] * 4, [1.0, 0, 0, 0]])
    gate, delta = torch.cat([GATE, mask[1:]]), DELTA.repeat(2, 1)
    nu = inverse_relevance(delta, mask, gate)
    advantage, accuracy = torch.tensor([-1.2, 0.5]), torch.zeros(2)
    result = attention_loss(MASS.repeat(2, 1), nu, mask, gate, advantage, accuracy, AttentionLoss())
    # of a single token both weights are 1
    single = 0.5 * -math.log(0.4 + 1e-6)
    assert float(result) == pytest.approx((1.678619 + single) / 2, abs=1e-6)


def test_an_advantage_is_capped_at_three_in_the_attention_loss():
    nu = inverse_relevance(DELTA, ONES, GATE)
    result = attention_loss(MASS, nu, ONES, GATE, torch.tensor([-12.0]), torch.zeros(1), AttentionLoss())
    assert float(result) == pytest.approx(1.678619 / 1.2 * 3, abs=1e-5)


def test_gradients_reach_the_mass_alone_and_nothing_where_no_token_is_gated():
    mass = MASS.double().clone().requires_grad_()
    delta = DELTA.double().clone().requires_grad_()
    ones, gate = ONES.double(), GATE.double()
    nu = inverse_relevance(delta, ones, gate)
    how, failed = AttentionLoss(), torch.zeros(1, dtype=torch.float64)
    advantage = torch.tensor([1.2], dtype=torch.float64, requires_grad=True)
    attention_loss(mass, nu, ones, gate, advantage, failed, how).backward()
    assert mass.grad[0, 1] == 0 and (mass.grad[0, [0, 2, 3]] < 0).all()
    assert delta.grad is None and advantage.grad is None
    closed = torch.zeros_like(gate)
    nothing = attention_loss(mass, inverse_relevance(delta, ones, closed), ones, closed, advantage, failed, how)
    assert float(nothing) == 0 and torch.isfinite(torch.autograd.grad(nothing, mass)[0]).all()
    fixed = inverse_relevance(DELTA.double(), ones, gate)
    checked = MASS.double().clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda m: attention_loss(m, fixed, ones, gate, torch.tensor([1.2]).double(), failed, how), (checked,)
    )


def test_the_total_is_the_weighted_sum():
    a, b, c = (torch.tensor(x) for x in (1.0, 2.0, 3.0))
    assert float(total_loss(a, b, c, beta=0.002, eta=0.1)) == pytest.approx(1 + 0.004 + 0.3)


def test_a_group_that_fails_as_one_still_has_an_attention_loss():
    """Its advantages are zero; ε = 0.1 of the paper's Table 5 stands in for them, under the gate and the cap."""
    mass, inverse = torch.full((2, 3), 0.1), torch.ones(2, 3)
    mask, zero = torch.ones(2, 3), torch.zeros(2)
    failed, right = torch.zeros(2), torch.ones(2)

    def loss(advantage, accuracy, **how):
        settings = AttentionLoss(exponent=0.0, **how)
        return float(attention_loss(mass, inverse, mask, mask, advantage, accuracy, settings))

    full = -math.log(0.1 + 1e-6)
    assert loss(zero, failed) == 0.0
    assert loss(zero, failed, advantage_floor=0.1) == pytest.approx(0.1 * full, rel=1e-5)
    assert loss(zero, right, advantage_floor=0.1) == pytest.approx(0.1 * 0.1 * full, rel=1e-5)
    assert loss(zero + 2, failed, advantage_floor=0.1) == pytest.approx(2 * full, rel=1e-5)
