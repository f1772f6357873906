"""Captured mass against eager attention, in value and gradient, on the embedded model's decoder."""

import pytest
import torch

from avcurate.attention.function import switch_on
from avcurate.attention.plan import Plan
from avcurate.attention.read import Mass
from avcurate.errors import UserError


def model_of(layers=3, seed=0):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, attn_implementation="sdpa",
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def inputs(batch=2, length=12):
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 50, (batch, length), generator=g)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    keys = torch.zeros_like(ids, dtype=torch.bool)
    keys[:, 4:7] = True
    return ids, mask, keys


def eager_mass(model, ids, mask, keys, rows, layers, reduce):
    model.set_attn_implementation("eager")
    out = model(input_ids=ids, attention_mask=mask, output_attentions=True)
    model.set_attn_implementation("sdpa")
    per_head = torch.stack([(out.attentions[i] * keys[:, None, None]).sum(-1)[:, :, rows:] for i in sorted(layers)])
    return (per_head.amax(2) if reduce == "max" else per_head.mean(2)).mean(0), out.logits


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_mass_logits_and_gradients_are_those_of_eager_attention(reduce):
    model, (ids, mask, keys), layers = model_of(), inputs(), frozenset({1, 2})
    expected, logits = eager_mass(model, ids, mask, keys, 8, layers, reduce)
    capture = Mass(keys, 8, layers, reduce)
    switch_on(model)
    out = model(input_ids=ids, attention_mask=mask, plan=Plan(readers=[capture]))
    assert torch.allclose(out.logits[mask.bool()], logits[mask.bool()], atol=1e-5)
    assert torch.allclose(capture.mass(), expected, atol=1e-5) and capture.mass().shape == (2, 4)
    loss = lambda mass: -(mass + 1e-6).log().mean()  # noqa: E731
    names, parameters = zip(*model.named_parameters(), strict=True)
    ours = torch.autograd.grad(loss(capture.mass()), parameters, allow_unused=True)
    theirs = torch.autograd.grad(loss(expected), parameters, allow_unused=True)
    for name, a, b in zip(names, ours, theirs, strict=True):
        if a is None or b is None:
            assert (a is None or not a.any()) and (b is None or not b.any()), name
        else:
            assert torch.allclose(a, b, atol=1e-5), name
    by_name = dict(zip(names, ours, strict=True))
    # the attention branch leaves the head, and what comes after the last target layer, alone
    assert by_name["lm_head.weight"] is None and by_name["model.layers.2.mlp.up_proj.weight"] is None
    assert by_name["model.layers.2.self_attn.v_proj.weight"] is None
    assert by_name["model.layers.2.self_attn.q_proj.weight"].abs().sum() > 0


def test_an_ordinary_pass_is_left_alone():
    model, (ids, mask, keys) = model_of(), inputs()
    before = model(input_ids=ids, attention_mask=mask).logits
    switch_on(model)
    inside = model(input_ids=ids, attention_mask=mask).logits
    assert torch.allclose(before[mask.bool()], inside[mask.bool()], atol=1e-6)
    capture = Mass(keys, 8, frozenset({1}))
    with pytest.raises(RuntimeError, match="was not read"):
        capture.mass()


def test_checkpointing_keeps_the_gradient_or_is_refused():
    model, (ids, mask, keys), layers = model_of(), inputs(), frozenset({2})
    grads = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
        model.zero_grad()
        capture = Mass(keys, 8, layers)
        switch_on(model)
        model(input_ids=ids, attention_mask=mask, plan=Plan(readers=[capture]))
        capture.mass().sum().backward()
        grads.append(model.model.layers[0].self_attn.q_proj.weight.grad.clone())
    assert torch.allclose(*grads, atol=1e-7) and grads[0].abs().sum() > 0
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    with pytest.raises(UserError, match="re-entrant"):
        switch_on(model)


def test_a_row_without_the_modality_has_no_mass_and_a_finite_gradient():
    model, (ids, mask, keys) = model_of(), inputs()
    keys = torch.zeros_like(keys)
    capture = Mass(keys, 8, frozenset({1}))
    switch_on(model)
    model(input_ids=ids, attention_mask=mask, plan=Plan(readers=[capture]))
    assert (capture.mass() == 0).all()
    (-(capture.mass() + 1e-6).log()).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
