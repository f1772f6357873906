"""Reading, cutting and editing against attention computed in full, on a small random decoder."""

import pytest
import torch

from avcurate.attention.cut import Cut, Unread
from avcurate.attention.edit import Edit
from avcurate.attention.function import FLEX, NAME, is_flex, switch_on
from avcurate.attention.kinds import GROUPS, Kind
from avcurate.attention.locate import members
from avcurate.attention.plan import Plan
from avcurate.attention.read import Columns, Shares
from avcurate.errors import UserError
from avcurate.maam.attention import FLEX as MAAM_FLEX
from avcurate.maam.attention import SDPA
from tests.attention.test_training import model_of

LENGTH = 150
"""Longer than two chunks of rows, and not a multiple of one."""


def sharp():
    """Random weights whose attention is far from uniform, so that a wrong score shows."""
    model = model_of()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.mul_(12)
            layer.self_attn.k_proj.weight.mul_(12)
            layer.self_attn.v_proj.weight.mul_(12)
    return model


def sequence(batch=2, padded=True):
    g = torch.Generator().manual_seed(3)
    ids = torch.randint(3, 50, (batch, LENGTH), generator=g)
    kinds = torch.full((batch, LENGTH), int(Kind.TEMPLATE))
    kinds[:, 10:60], kinds[:, 60:90] = int(Kind.VIDEO), int(Kind.AUDIO)
    kinds[:, 95:110], kinds[:, 115] = int(Kind.QUERY), int(Kind.START)
    kinds[:, 116:] = int(Kind.GENERATED)
    mask = torch.ones_like(ids)
    if padded:
        mask[0, :7], kinds[0, :7] = 0, int(Kind.PAD)
    return ids, mask, kinds


def by_hand(model, ids, mask, hide=None, edit=None):
    """Probabilities of every layer and the logits, from full (L, L) matrices; ``hide``: layer to bool (B, L, L)."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    found = {}

    def full(module, query, key, value, attention_mask, scaling=None, **_):
        repeats = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(repeats, 1) for x in (key, value))
        scores = query @ key.transpose(-1, -2) * scaling
        allowed = torch.ones(LENGTH, LENGTH).tril().bool() & mask[:, None, None].bool()
        if hide is not None and (hidden := hide(module.layer_idx)) is not None:
            allowed = allowed & ~hidden[:, None]
        if edit is not None:
            scores = edit(module.layer_idx, scores)
        weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1).nan_to_num()
        found[module.layer_idx] = weights
        return (weights @ value).transpose(1, 2).contiguous(), None

    AttentionInterface.register("by_hand", full)
    AttentionMaskInterface.register("by_hand", sdpa_mask)
    before = model.config._attn_implementation
    model.config._attn_implementation = "by_hand"
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
    model.config._attn_implementation = before
    return found, logits


def planned(model, ids, mask, plan):
    switch_on(model)
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, plan=plan).logits


def test_shares_are_those_of_the_full_matrices():
    model, (ids, mask, kinds) = sharp(), sequence()
    weights, logits = by_hand(model, ids, mask)
    reader = Shares(kinds, first=80)
    ours = planned(model, ids, mask, Plan(readers=[reader]))
    real = mask.bool()
    assert torch.allclose(ours[real], logits[real], atol=1e-5)
    assert sorted(reader.mean) == [0, 1, 2]
    for layer, matrix in weights.items():
        for kind in Kind:
            share = (matrix * members(kinds, (kind,))[:, None, None]).sum(-1)[:, :, 80:]
            assert torch.allclose(reader.mean[layer][..., kind], share.mean(1), atol=1e-5)
            assert torch.allclose(reader.peak[layer][..., kind], share.amax(1), atol=1e-5)
            for source in Kind:
                queries = members(kinds, (source,))[:, None, 80:]
                expected = (share * queries).sum(-1)
                assert torch.allclose(reader.heads[layer][:, :, source, kind], expected, atol=1e-4)
        assert torch.allclose(reader.mean[layer].sum(-1), torch.ones(2, LENGTH - 80), atol=1e-5)
    assert reader.counts[1, Kind.GENERATED] == LENGTH - 116 and reader.counts[0, Kind.PAD] == 0


def test_column_sums_are_those_of_later_queries():
    model, (ids, mask, kinds) = sharp(), sequence()
    weights, _ = by_hand(model, ids, mask)
    reader = Columns(kinds, (Kind.VIDEO, Kind.AUDIO))
    planned(model, ids, mask, Plan(readers=[reader]))
    later = torch.ones(LENGTH, LENGTH).tril(-1)
    for layer, matrix in weights.items():
        for place, kind in enumerate((Kind.VIDEO, Kind.AUDIO)):
            queries = members(kinds, (kind,)).float()
            expected = (matrix.mean(1) * later * queries[:, :, None]).sum(1)
            assert torch.allclose(reader.sums[layer][:, place], expected, atol=1e-6)
            assert torch.equal(reader.later[:, place], (queries[:, :, None] * later).sum(1))


CUTS = [
    ["response->audio"],
    ["generated->video:1-3", "query->audio:0-1"],
    ["all->video:2-3"],
    ["audio->video"],
    ["rest->audio"],
]


@pytest.mark.parametrize("rules", CUTS)
@pytest.mark.parametrize("padded", [True, False])
def test_knockout_equals_full_attention_under_the_same_masks(rules, padded):
    model, (ids, mask, kinds) = sharp(), sequence(padded=padded)
    cuts = [Cut.parse(r) for r in rules]

    def hide(layer):
        hidden = torch.zeros(2, LENGTH, LENGTH).bool()
        for cut in cuts:
            if cut.first <= layer < (99 if cut.end is None else cut.end):
                k = members(kinds, GROUPS[cut.keys])
                q = ~k if cut.query == "rest" else members(kinds, GROUPS[cut.query])
                hidden |= q[:, :, None] & k[:, None]
        return hidden & ~torch.eye(LENGTH).bool()

    weights, logits = by_hand(model, ids, mask, hide)
    reader = Shares(kinds)
    ours = planned(model, ids, mask, Plan(kinds, cuts, readers=[reader]))
    real, plain = mask.bool(), by_hand(model, ids, mask)[1]
    assert torch.allclose(ours[real], logits[real], atol=1e-4)
    assert (ours - plain)[real].abs().max() > 1e-3
    # what is read is what was attended to, and a cut key has no share at all
    for layer, matrix in weights.items():
        for kind in Kind:
            share = (matrix * members(kinds, (kind,))[:, None, None]).sum(-1).mean(1)
            assert torch.allclose(reader.mean[layer][..., kind], share, atol=1e-5)
    cut, layer = cuts[0], cuts[0].first
    for q in GROUPS["all" if cut.query == "rest" else cut.query]:
        for k in set(GROUPS[cut.keys]) - {q}:
            assert not reader.heads[layer][:, :, q, k].any()


def test_tokens_that_nobody_reads_are_hidden_by_their_number_in_each_sequence():
    model, (ids, mask, kinds) = sharp(), sequence()
    # the same numbers are other places where the kind begins elsewhere
    kinds[1, 60:63] = int(Kind.VIDEO)

    def hide(layer):
        hidden = torch.zeros(2, LENGTH, LENGTH).bool()
        hidden[0, :, [60, 65]] = hidden[1, :, [63, 68]] = True
        return hidden & ~torch.eye(LENGTH).bool()

    _, expected = by_hand(model, ids, mask, hide)
    real = mask.bool()
    ours = planned(model, ids, mask, Plan(kinds, [Unread("audio", frozenset({0, 5}))]))
    assert torch.allclose(ours[real], expected[real], atol=1e-4)
    assert (ours - planned(model, ids, mask, None))[real].abs().max() > 1e-3


def test_edited_scores_equal_the_formula_and_strength_zero_changes_nothing():
    model, (ids, mask, kinds) = sharp(), sequence()
    keys = members(kinds, (Kind.AUDIO,))

    def formula(layer, scores):
        raised = scores + 0.6 * scores.abs()
        late = torch.arange(LENGTH)[:, None] >= 100
        return torch.where(keys[:, None, None] & late, raised, scores) if layer in (1, 2) else scores

    _, expected = by_hand(model, ids, mask, edit=formula)
    real = mask.bool()
    ours = planned(model, ids, mask, Plan(edits=[Edit(keys, 0.6, frozenset({1, 2}), first=100)]))
    assert torch.allclose(ours[real], expected[real], atol=1e-4)
    plain = planned(model, ids, mask, None)
    assert (ours - plain)[real].abs().max() > 1e-3
    assert torch.equal(planned(model, ids, mask, Plan(edits=[Edit(keys, 0.0)])), plain)
    lowered = Edit(keys, -0.6).edited(torch.full((2, 1, 1, LENGTH), -torch.inf), LENGTH - 1)
    assert (lowered == -torch.inf).all()


def test_the_function_with_nothing_to_do_is_the_kernel():
    model, (ids, mask, kinds) = sharp(), sequence()
    before = model(input_ids=ids, attention_mask=mask).logits
    switch_on(model)
    assert model.config._attn_implementation == NAME
    assert torch.equal(model(input_ids=ids, attention_mask=mask).logits, before)
    assert torch.equal(planned(model, ids, mask, Plan(kinds, [Cut("all", "audio", 7)])), before)


def test_readers_refuse_a_cache_and_cuts_need_kinds():
    model, (ids, _, kinds) = sharp(), sequence(padded=False)
    switch_on(model)
    cache = model(input_ids=ids, use_cache=True).past_key_values
    with pytest.raises(RuntimeError, match="not while decoding"):
        model(input_ids=ids[:, :1], past_key_values=cache, plan=Plan(readers=[Shares(kinds)]))
    with pytest.raises(ValueError, match="kinds"):
        Plan(cuts=[Cut("all", "audio")])


def test_names_of_the_function_are_known_to_maam():
    assert NAME in SDPA and FLEX in MAAM_FLEX and is_flex(FLEX) and not is_flex(NAME)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("response", "it is not"),
        ("answer->audio", "no group 'answer'"),
        ("all->audio:3-3", "it is not"),
        ("", "it is not"),
    ],
)
def test_a_rule_that_is_none_is_refused(rule, why):
    with pytest.raises(UserError, match=why):
        Cut.parse(rule)


def test_a_rule_reads_as_it_is_written():
    for rule in ("response->audio:0-14", "query->video", "all->audio:3-5"):
        cut = Cut.parse(rule)
        assert Cut.parse(str(cut)) == cut
    assert [Cut.parse("all->audio:3-5").holds_in(i) for i in (2, 3, 4, 5)] == [False, True, True, False]


@pytest.mark.slow
def test_cuts_and_shares_under_flex_attention_are_those_under_sdpa(fresh_compiler):
    from torch.nn.attention.flex_attention import BlockMask

    seen = []
    (ids, mask, kinds), cuts, real = sequence(), [Cut.parse("response->audio:1-3")], sequence()[1].bool()
    results = {}
    for name in ("sdpa", "flex_attention"):
        model, reader = sharp(), Shares(kinds)
        model.set_attn_implementation(name)
        model.model.layers[0].self_attn.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append(kwargs["attention_mask"]), with_kwargs=True
        )
        results[name] = (planned(model, ids, mask, Plan(kinds, cuts, readers=[reader])), reader)
    assert isinstance(seen[1], BlockMask) and not isinstance(seen[0], BlockMask)
    (ours, read), (flexed, flex_read) = results.values()
    assert torch.allclose(ours[real], flexed[real], atol=1e-5)
    assert all(torch.allclose(read.mean[i], flex_read.mean[i], atol=1e-6) for i in range(3))


def test_a_cut_follows_the_cache_of_a_sliding_window():
    """Layers with a window keep only its keys: rules still speak of places in the whole sequence."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, head_dim=16,
        num_key_value_heads=1, sliding_window=8, layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    model = Gemma3ForCausalLM(config).eval()
    switch_on(model)
    ids, kinds = torch.randint(3, 50, (1, 30)), torch.full((1, 30), int(Kind.QUERY))
    kinds[:, 12:18], kinds[:, 19], kinds[:, 20:] = int(Kind.AUDIO), int(Kind.START), int(Kind.GENERATED)
    cuts = [Cut.parse("response->audio")]
    with torch.no_grad():
        whole = model(input_ids=ids, plan=Plan(kinds, cuts)).logits
        plain = model(input_ids=ids).logits
        plan = Plan(kinds[:, :20], cuts)
        out = model(input_ids=ids[:, :20], use_cache=True, plan=plan)
        steps = [out.logits[:, -1]]
        for i in range(20, 29):
            plan.grow()
            out = model(input_ids=ids[:, i : i + 1], past_key_values=out.past_key_values, use_cache=True, plan=plan)
            steps.append(out.logits[:, -1])
        edit = Plan(edits=[Edit(members(kinds[:, :20], (Kind.AUDIO,)), 5.0, first=19)])
        out = model(input_ids=ids[:, :20], use_cache=True, plan=edit)
        edited = []
        for i in range(20, 29):
            edit.grow()
            out = model(input_ids=ids[:, i : i + 1], past_key_values=out.past_key_values, use_cache=True, plan=edit)
            edited.append(out.logits[:, -1])
        keys = members(kinds, (Kind.AUDIO,))
        expected = model(input_ids=ids, plan=Plan(edits=[Edit(keys, 5.0, first=19)])).logits
    assert torch.allclose(torch.stack(steps, 1), whole[:, 19:29], atol=1e-5)
    assert torch.allclose(torch.stack(edited, 1), expected[:, 20:29], atol=1e-5)
    assert (whole - plain)[:, 19:].abs().max() > 1e-3
