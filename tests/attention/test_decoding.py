"""Answering under cuts, token by token with a cache, against one pass over the whole response."""

from dataclasses import replace

import pytest
import torch

from avcurate.attention.cut import Cut
from avcurate.attention.kinds import Kind
from avcurate.attention.locate import response_kinds
from avcurate.attention.plan import Plan
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.engines.watched import kinds_of, watch
from avcurate.train.omni import Omni
from tests.maam.test_attention import completions_of, requests_of

RULES = ["response->audio", "response->video:1-3", "query->audio", "all->video:1-4"]


@pytest.fixture(scope="module")
def omni():
    engine = TransformersEngine(Checkpoint("embedded"))
    engine.setup()
    watch(engine)
    return Omni(engine)


def test_kinds_of_a_prompt_are_where_its_parts_are(omni, world):
    requests = requests_of(world, 3)
    inputs = omni.engine.inputs(requests)
    kinds = kinds_of(omni.engine, requests, inputs["input_ids"], inputs["attention_mask"])
    for row, request in enumerate(requests):
        ids = inputs["input_ids"][row]
        asked = omni.engine.processor.tokenizer.decode(ids[kinds[row] == Kind.QUERY])
        assert asked.strip() == request.prompt.strip()
        assert omni.tokens.count(ids) == tuple(int((kinds[row] == k).sum()) for k in (Kind.AUDIO, Kind.VIDEO))
        assert (kinds[row] == Kind.PAD).sum() == (inputs["attention_mask"][row] == 0).sum()
        assert kinds[row, -1] == Kind.START and (kinds[row] == Kind.START).sum() == 1
        assert (kinds[row] == Kind.TEMPLATE).any()


def test_what_a_response_is_made_to_begin_with_is_generated(omni, world):
    (request,) = requests_of(world, 1)
    forced = replace(request, prefix="<mod>Audio</mod>")
    inputs = omni.engine.inputs([forced])
    (kinds,) = kinds_of(omni.engine, [forced], inputs["input_ids"], inputs["attention_mask"])
    ids = inputs["input_ids"][0]
    assert omni.engine.decode(ids[kinds == Kind.GENERATED].tolist()) == "<mod>Audio</mod>"
    start = int((kinds == Kind.START).nonzero())
    assert (kinds == Kind.START).sum() == 1 and kinds[start + 1] == Kind.GENERATED


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_decoding_under_a_cut_is_likeliest_in_one_pass_under_it(omni, world, rule):
    """25 responses for each rule: different prompts in one batch, padded, ending at different steps."""
    cuts = [Cut.parse(rule)]
    requests = requests_of(world, 25)
    written = omni.engine.sample(requests, cuts).written
    ids, mask = completions_of(written)
    inputs = omni.batch(requests, ids, mask)
    prompt = inputs["input_ids"].shape[1] - ids.shape[1]
    before = kinds_of(omni.engine, requests, inputs["input_ids"][:, :prompt], inputs["attention_mask"][:, :prompt])
    plan = Plan(torch.cat([before, response_kinds(mask)], 1), cuts)
    with torch.no_grad():
        logits = omni.run(omni.engine.model, inputs, prompt, plan)
    logits[..., omni.engine.banned] = -torch.inf
    assert (logits.argmax(-1) == ids)[mask.bool()].all()
    assert written != omni.engine.sample(requests, ()).written


@pytest.mark.slow
def test_an_engine_with_a_knockout_answers_under_it_and_says_so(omni, world):
    cut = TransformersEngine(Checkpoint("embedded"), knockout="response->audio")
    cut.setup()
    requests = requests_of(world, 6)
    assert cut.sample(requests).written == omni.engine.sample(requests, [Cut.parse("response->audio")]).written
    assert cut.identity()["knockout"] == ["response->audio"] and "knockout" not in omni.engine.identity()
