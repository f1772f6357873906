"""GSPO, DAPO, Dr. GRPO and importance weights against their papers' formulas, worked out apart."""

import math

import pytest
import torch

from avcurate.train.algorithm import Completions
from avcurate.train.core.objective import group_centred, importance_weights, sequence_ratio
from avcurate.train.names import ALGORITHMS
from avcurate.train.recipe import TrainRecipe

LENGTHS = (4, 2, 3, 1)
ADVANTAGES = (1.0, -0.5, 0.8, -1.3)


def batch_of(rows, *, moved=0.2, importance=None, seed=1):
    """Completions of several lengths, with NaN where there is no token's probability to speak of."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(LENGTHS)
    mask = torch.tensor([[1.0] * n + [0.0] * (longest - n) for n in LENGTHS])
    old = -torch.rand(len(LENGTHS), longest, generator=generator)
    logp = (old + moved * torch.randn(old.shape, generator=generator)).requires_grad_()
    names = {
        "ids": mask.long(),
        "mask": mask,
        "logp": logp,
        "old": old,
        "importance": torch.ones_like(mask) if importance is None else importance,
        "logits": old[..., None],
        "mass": mask,
        "advantages": torch.tensor(ADVANTAGES),
        "accuracy": torch.tensor(ADVANTAGES),
        "gate": mask,
    }
    recorded = {}
    batch = Completions(
        **{k: v[rows] for k, v in names.items()},
        mean_length=sum(LENGTHS) / len(LENGTHS),
        kl=torch.tensor(0.5),
        entropy_without=lambda modality, temperature=1.0: mask,
        record=lambda name, value: recorded.update({name: float(value)}),
    )
    return batch, logp, recorded


def loss_of(name, rows=slice(None), **how):
    recipe = TrainRecipe(algo=name, beta=how.pop("beta", 0.0), max_tokens=10, **how.pop("recipe", {}))
    batch, logp, recorded = batch_of(rows, **how)
    loss = ALGORITHMS.get(name)(recipe).loss(batch)
    loss.backward()
    return loss.item(), logp, recorded


def clipped(ratio, advantage, low, high):
    return -min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_gspo_clips_whole_completions(seed):
    loss, logp, recorded = loss_of("gspo", seed=seed)
    batch, _, _ = batch_of(slice(None), seed=seed)
    expected, out = [], 0
    for i, (length, advantage) in enumerate(zip(LENGTHS, ADVANTAGES, strict=True)):
        difference = (batch.logp - batch.old)[i, :length]
        ratio = math.exp(difference.sum().item() / length)
        expected.append(clipped(ratio, advantage, 3e-4, 4e-4))
        is_out = (advantage > 0 and ratio > 1 + 4e-4) or (advantage < 0 and ratio < 1 - 3e-4)
        out += is_out
        # one that is clipped gives no gradient, and every token of another the same
        gradient = logp.grad[i, :length]
        assert (gradient == 0).all() if is_out else torch.allclose(gradient, gradient[:1].expand(length))
    assert loss == pytest.approx(sum(expected) / 4, rel=1e-5)
    assert (out > 0) is (seed != 1)
    assert recorded["clip/share"] == pytest.approx(out / 4)
    # clipped nowhere, it is GRPO's loss of completions of one token
    single = loss_of("gspo", slice(3, 4), recipe={"clip": 0.2})[0]
    assert single == pytest.approx(loss_of("grpo", slice(3, 4))[0])
    assert sequence_ratio(batch.old, batch.old, batch.mask).tolist() == [[1.0]] * 4


def test_dapo_weighs_every_token_of_a_step_alike_however_it_is_cut():
    loss, logp, _ = loss_of("dapo")
    batch, _, _ = batch_of(slice(None))
    tokens = [
        clipped(math.exp((batch.logp - batch.old)[i, t].item()), ADVANTAGES[i], 0.2, 0.28)
        for i, length in enumerate(LENGTHS)
        for t in range(length)
    ]
    assert loss == pytest.approx(sum(tokens) / len(tokens), rel=1e-5)
    # micro-batches of two: their mean is the whole, as accumulation over passes and processes takes it
    halves = [loss_of("dapo", slice(0, 2))[0], loss_of("dapo", slice(2, 4))[0]]
    assert sum(halves) / 2 == pytest.approx(loss, rel=1e-5)
    assert (logp.grad[1, 2:] == 0).all()


def test_dr_grpo_divides_by_neither_length_nor_deviation():
    rewards = torch.tensor([1.0, 0.0, 0.0, 0.0])
    algorithm = ALGORITHMS.get("dr-grpo")(TrainRecipe(algo="dr-grpo", group=4))
    assert algorithm.advantages(rewards).tolist() == pytest.approx([0.75, -0.25, -0.25, -0.25])
    with pytest.raises(ValueError):
        group_centred(torch.tensor([1.0, math.inf]), 2)
    loss = loss_of("dr-grpo")[0]
    batch, _, _ = batch_of(slice(None))
    sums = [
        sum(clipped(math.exp(float((batch.logp - batch.old)[i, t])), ADVANTAGES[i], 0.2, 0.2) for t in range(length))
        for i, length in enumerate(LENGTHS)
    ]
    assert loss == pytest.approx(sum(sums) / 10 / 4, rel=1e-5)


@pytest.mark.parametrize("name", ["grpo", "gspo", "dapo", "dr-grpo"])
def test_the_kl_term_and_the_clip_of_the_recipe_apply_to_all(name):
    bare = loss_of(name)[0]
    assert loss_of(name, beta=0.4)[0] == pytest.approx(bare + 0.2, rel=1e-5)
    wide = {"clip": 1e9, "clip_high": 1e9}
    assert loss_of(name, recipe=wide)[2]["clip/share"] == 0
    assert ALGORITHMS.get(name)(TrainRecipe(algo=name, clip=0.1)).clip == (0.1, 0.1)
    own = {"grpo": (0.2, 0.2), "gspo": (3e-4, 4e-4), "dapo": (0.2, 0.28), "dr-grpo": (0.2, 0.2)}
    assert ALGORITHMS.get(name)(TrainRecipe(algo=name)).clip == own[name]


@pytest.mark.parametrize("name", ["grpo", "gspo", "dapo", "dr-grpo"])
def test_importance_weighs_the_gradient_and_gets_none(name):
    """Weights of two everywhere double the loss, and half of a completion's its own part."""
    wide = {"clip": 1e9, "clip_high": 1e9}
    plain, logp, _ = loss_of(name, recipe=wide)
    double, more, _ = loss_of(name, recipe=wide, importance=torch.full((4, 4), 2.0))
    assert double == pytest.approx(2 * plain, rel=1e-5) and torch.allclose(more.grad, 2 * logp.grad, rtol=1e-4)


def test_importance_weights_are_truncated_and_one_where_there_is_no_token():
    old, sampled = torch.tensor([[-1.0, -1.0, -1.0, -9.0]]), torch.tensor([[-1.0, -1.5, -3.0, -1.0]])
    weights = importance_weights(old, sampled, torch.tensor([[1.0, 1.0, 1.0, 0.0]]), 2.0)
    assert weights[0].tolist() == pytest.approx([1.0, math.exp(0.5), 2.0, 1.0])
