"""Guided decoders on tiny random checkpoints of several families: identities, and logits made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from avcurate.attention.cut import Cut, Unread
from avcurate.attention.hidden import Decoder
from avcurate.attention.kinds import Kind
from avcurate.engines.base import ListSource, Request, Sampling
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.guidance import DECODERS, Guidance
from avcurate.engines.guided import distorted, guided_prefill, noise_of, weight
from avcurate.engines.guided_both import most_read, weaker_of
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.errors import UserError
from tests.conftest import LONG
from tests.families.conftest import BUILDERS

KINDS = (
    [k for k in BUILDERS if k.startswith("qwen") and "audio" not in k] if LONG else ["qwen2_5_omni", "qwen3_omni_moe"]
)
NEUTRAL = {
    "vcd": {"alpha": 0.0},
    "pai": {"alpha": 0.0, "gamma": 1.0},
    "avcd": {"share": 0.0, "beta": 0.0, "gate": 0.0},
    "fmd": {"strength": 0.0},
    "asd": {"alpha": 0.0, "tau": 0.1, "divide": 1.0},
    "asd-released": {"strength": 0.0, "tau": 0.1, "divide": 1.0},
    "reverse-asd": {"alpha": 0.0, "tau": 0.1, "divide": 1.0},
}


def of_values(name, **values):
    return Guidance.of(name, values)


@pytest.fixture(scope="module", params=KINDS)
def path(request, checkpoint_of):
    return str(checkpoint_of(request.param))


@pytest.fixture(scope="module")
def engine(path):
    made = TransformersEngine(Checkpoint(path), decode="asd")
    made.setup()
    return made


@pytest.fixture(scope="module")
def asked():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (12, 56, 84, 3), dtype=np.uint8)
    audio = rng.uniform(-0.5, 0.5, 96_000).astype(np.float32)
    sampling = Sampling(temperature=0.0, max_tokens=8)
    return Request("k", "What is heard?", audio, frames, 2.0, 1, 7, sampling, interleaved=True, media_id="m")


class Steps:
    def __init__(self):
        self.logits = []

    def __call__(self, live, logits):
        self.logits.append(logits.float().clone())


def greedy(engine, request, guidance):
    engine.guidance, seen = guidance, Steps()
    sampled = engine.sample([request], (), seen)
    return sampled.written, seen.logits


@pytest.mark.slow
@pytest.mark.parametrize("name", list(DECODERS))
def test_no_strength_is_plain_greedy_decoding(engine, asked, name):
    plain, steps = greedy(engine, asked, None)
    guided, theirs = greedy(engine, asked, of_values(name, **NEUTRAL[name]))
    assert guided == plain and len(steps) == len(theirs)
    for ours, other in zip(steps, theirs, strict=True):
        assert torch.allclose(ours.log_softmax(-1), other.log_softmax(-1), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(DECODERS))
def test_strength_changes_what_is_drawn_from_and_responses_of_one_request_stay_apart(engine, asked, name):
    _, steps = greedy(engine, asked, None)
    strong = {"tau": 0.1, "divide": 1.0} if "asd" in name else {} if name == "fmd" else {"beta": 0.0}
    written, theirs = greedy(engine, asked, of_values(name, **strong))
    changed = [not torch.allclose(a.softmax(-1), b.softmax(-1), atol=1e-6) for a, b in zip(steps, theirs, strict=False)]
    # the first token of a response guided by sinks is the first pass's own
    assert changed[0] == ("asd" not in name) and any(changed)
    assert len(written[0]) <= 8
    sampled = replace(asked, n=3, sampling=Sampling(temperature=1.0, max_tokens=8))
    (reply,) = engine.generate(ListSource([sampled]))
    alone = [next(engine.generate(ListSource([replace(sampled, n=1, seed=7 + i)]))).responses[0].text for i in range(3)]
    if name != "vcd":  # whose noise is drawn by the request's seed
        assert [r.text for r in reply.responses] == alone


@pytest.mark.slow
def test_contrast_by_hand(engine, asked):
    engine.guidance = None
    with torch.inference_mode():
        ours = engine.prefill([asked]).logits.float()
        noisy = engine.prefill([distorted(asked, 500)]).logits.float()
    _, steps = greedy(engine, asked, of_values("vcd", alpha=0.7, beta=0.5))
    expected = 1.7 * ours - 0.7 * noisy
    likely = ours >= ours.max() + math.log(0.5)
    assert torch.allclose(steps[0][likely], expected[likely], atol=1e-4)
    assert (steps[0][~likely] == -torch.inf).all() and likely.any()


@pytest.mark.slow
def test_the_second_pass_with_its_cache_equals_one_pass_without(engine, asked):
    guidance = of_values("asd", tau=0.1, divide=1.0)
    with torch.inference_mode():
        start, guide = guided_prefill(engine, asked, guidance)
        assert guide.groups["uni"] != [[], []] and guide.groups["cross"] != [[], []]
        kinds = start.plan.kinds[0]
        for name, kind in (("audio", Kind.AUDIO), ("video", Kind.VIDEO)):
            positions = [p for lists in guide.groups.values() for p in lists[(Kind.AUDIO, Kind.VIDEO).index(kind)]]
            assert all(int(kinds[p]) == kind for p in positions), name
        tokens = torch.tensor([5])
        guide.step(tokens)
        guide.step(tokens)
        from avcurate.attention.plan import Plan
        from avcurate.train.omni import Omni

        edits = guide.branches[0].plan.edits
        omni = Omni(engine)
        inputs = omni.batch([asked], torch.tensor([[5, 5, 5]]), torch.ones(1, 3))
        whole = omni.run(engine.model, inputs, start.ids.shape[1], Plan(edits=edits))
    assert torch.allclose(whole[0, 2], guide.logits[0][0], atol=2e-4)


def cut_prefill(engine, request, rules):
    from avcurate.attention.plan import Plan
    from avcurate.engines.watched import kinds_of

    return engine.prefill([request], None, lambda ids, mask: Plan(kinds_of(engine, [request], ids, mask), rules))


@pytest.mark.slow
def test_avcd_by_hand(engine, asked):
    engine.guidance = None
    with torch.inference_mode():
        start, guide = guided_prefill(engine, asked, of_values("avcd", beta=0.0, gate=0.0, alpha=0.7))
        both, one, other = guide.branches
        hidden = [b.plan.cuts[0].numbers for b in (both, one, other)]
        assert hidden[0] == hidden[1] | hidden[2] and not hidden[1] & hidden[2] and all(hidden)
        kinds = start.plan.kinds[0]
        names = {m: {int(kinds[p]) for p in h} for m, h in zip("bcd", hidden, strict=True)}
        assert len(names["c"]) and not names["c"] & names["d"]
        logits = [cut_prefill(engine, asked, [Unread("all", h)]).logits for h in hidden]
        plain = engine.prefill([asked]).logits.float()
    expected = (3.4 * plain - 1.4 * logits[0] + logits[1] + logits[2]) / 4
    assert torch.allclose(guide.combined(plain), expected, atol=1e-4)
    # a first pass that is sure is left alone
    guide.gate = 100.0
    assert torch.equal(guide.combined(plain), plain)


def test_which_modality_is_weaker_and_what_is_read_most():
    kinds = torch.tensor([1, 4, 4, 3, 3, 2, 5])
    row = torch.tensor([0.5, 0.1, 0.02, 0.2, 0.01, 0.05, 0.12])
    assert weaker_of(row, kinds) == ("language", "video")
    assert weaker_of(row.flip(0), kinds) == ("video", "audio")
    assert weaker_of(row + 5 * (kinds == 4), kinds) == ("language", "audio")
    # the median is 0.1; what stands before the media is nobody's
    assert most_read(row, kinds, "language", 0.5) == {6}
    assert most_read(row, kinds, "audio", 0.5) == {3} and most_read(row, kinds, "video", 0.6) == {1}
    assert most_read(row, kinds, "video", 0.0) == frozenset()


@pytest.mark.slow
@pytest.mark.parametrize(("audio", "cut"), [(1.0, "video"), (0.0, "audio")])
def test_a_fork_that_takes_one_side_is_a_knockout_below_it(engine, asked, audio, cut):
    fork = round(0.5 * engine.text_config.num_hidden_layers)
    forked, steps = greedy(engine, asked, of_values("fmd", fork=0.5, audio=audio))
    engine.guidance, engine.cuts = None, (Cut("rest", cut, 0, fork),)
    try:
        seen = Steps()
        assert engine.sample([asked], None, seen).written == forked
    finally:
        engine.cuts = ()
    for ours, theirs in zip(steps, seen.logits, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow
def test_a_fork_merges_both_sides(engine, asked):
    decoder = Decoder(engine.model)
    with torch.inference_mode(), decoder.inputs() as states:
        _, guide = guided_prefill(engine, asked, of_values("fmd", fork=0.5, audio=0.3))
        fork = guide.merge.layer
        sides = []
        for keys in ("video", "audio"):
            states.clear()
            cut_prefill(engine, asked, [Cut("rest", keys, 0, fork)])
            sides.append(states[fork][0].clone())
        states.clear()
        # hooks run in the order they were made: `states` are what comes into the merge, `after` what comes out of it
        with guide.merge.on(), decoder.inputs() as after:
            guide.branches[0].plan.length = guide.branches[0].plan.kinds.shape[1]
            engine.prefill([asked, asked], None, lambda ids, mask: guide.branches[0].plan)
        heard, seen = states[fork]
        merged = after[fork]
    assert torch.allclose(heard, sides[0], atol=1e-5) and torch.allclose(seen, sides[1], atol=1e-5)
    assert not torch.allclose(heard, seen, atol=1e-3)
    assert torch.allclose(merged[0], 0.3 * heard + 0.7 * seen, atol=1e-6) and torch.equal(merged[0], merged[1])
    assert torch.equal(guide.logits[0][0], guide.logits[0][1])


def test_weights_by_hand():
    uni, cross, text, before = (torch.tensor([[x]]) for x in (0.3, 0.1, 0.5, 0.2))
    assert float(weight(uni, cross, text, before, of_values("asd"))) == pytest.approx(0.75, abs=1e-5)
    assert float(weight(uni, cross, text, before, of_values("reverse-asd"))) == pytest.approx(0.25, abs=1e-5)
    # halfway through the fade: 0.5 * 0.75 * 0.5, and half of the step before
    released = of_values("asd-released")
    assert float(weight(uni, cross, text, before, released)) == pytest.approx(0.1 + 0.5 * 0.1875, abs=1e-5)
    # below the gate, by its square: share 0.25, (0.25 / 0.6) ** 2
    low = weight(cross, uni, torch.tensor([[0.1]]), torch.zeros(1, 1), released)
    assert float(low) == pytest.approx(0.5 * 0.5 * 0.25 * (0.25 / 0.6) ** 2, abs=1e-5)
    nothing = torch.zeros(1, 1)
    assert float(weight(nothing, nothing, text, nothing, of_values("asd"))) == 0
    most = of_values("asd-released", strength=2.0, momentum=0.0)
    assert float(weight(uni, nothing, nothing, nothing, most)) == pytest.approx(0.6)


def test_noise_schedule_and_seed():
    signal, noise = noise_of(500)
    assert signal**2 + noise**2 == pytest.approx(1) and 0.7 < signal < 0.95
    assert noise_of(999)[0] < noise_of(0)[0] == pytest.approx(1, abs=1e-4)
    request = Request("k", "p", np.ones(50, np.float32), np.zeros((1, 4, 4, 3), np.uint8), 1.0, 1, 3, Sampling())
    one, two = distorted(request, 500), distorted(request, 500)
    assert (one.audio == two.audio).all() and (one.frames == two.frames).all() and one.media_id != request.media_id
    assert (distorted(replace(request, seed=4), 500).audio != one.audio).any()


def test_what_cannot_be_is_refused(asked):
    with pytest.raises(UserError, match="no decoder"):
        Guidance.of("beam", {})
    with pytest.raises(UserError, match="no value"):
        Guidance.of("vcd", {"gamma": 1})
    with pytest.raises(UserError, match="--maam"):
        TransformersEngine(Checkpoint("embedded"), decode="vcd", maam="inner")
    with pytest.raises(UserError, match="--knockout"):
        TransformersEngine(Checkpoint("embedded"), decode="vcd", knockout=["rest->audio"])


@pytest.mark.slow
def test_one_modality_alone_has_no_hub_of_both(engine, asked):
    deaf = replace(asked, audio=None, interleaved=False)
    plain, _ = greedy(engine, deaf, None)
    assert greedy(engine, deaf, of_values("asd", tau=0.1))[0] == plain


@pytest.mark.slow
def test_sinks_need_sound_inside_the_video(engine, asked):
    engine.guidance = of_values("asd")
    with pytest.raises(UserError, match="inside the video item"):
        engine.sample([replace(asked, interleaved=False)], ())
    with pytest.raises(UserError, match="one prompt"):
        engine.sample([asked, asked], ())
