"""The mask of a padded batch, the attention that takes it, and a model that decodes under it."""

from dataclasses import replace

import pytest
import torch

from avcurate.engines.base import Request, Sampling
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.errors import UserError
from avcurate.maam.attention import batch_mask, for_model, refuse_attention
from avcurate.maam.mask import Span, Traces, maam
from avcurate.maam.traces import masked_as
from avcurate.media.decode import DecodeSpec, decode
from avcurate.prompts import get_prompt
from avcurate.train.omni import Omni, log_probabilities

SCOPE = "inner+open_tag"


def test_no_token_attends_to_padding_and_no_row_is_empty():
    tokens = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 0], [1] * 8])
    audio, video = torch.zeros(2, 8).bool(), torch.zeros(2, 8).bool()
    audio[:, 2] = True
    traces = [Traces(visual=Span(3, 4, 6, 7)), Traces()]
    masks = batch_mask(tokens, audio, video, traces, SCOPE)
    assert masks.shape == (2, 1, 8, 8) and masks.dtype == torch.bool and masks.any(-1).all()
    first = masks[0, 0]
    whole = maam(8, traces[0], audio[0], video[0], scope=SCOPE)
    assert (first[2:7, 2:7] == whole[2:7, 2:7]).all() and not first[3, 2] and first[6, 2]
    assert not first[2:7, :2].any() and not first[2:7, 7].any()
    assert (masks[1, 0] == torch.ones(8, 8).tril().bool()).all()


@pytest.mark.parametrize("name", ["eager", "flash_attention_2", "flash_attention_3"])
def test_attention_that_would_be_silently_wrong_is_refused(name):
    with pytest.raises(UserError, match="needs sdpa or flex"):
        refuse_attention(name)
    with pytest.raises(UserError, match=name):
        for_model(torch.ones(1, 1, 4, 4).bool(), name)


@pytest.fixture(scope="module")
def engines():
    both = [TransformersEngine(Checkpoint("embedded"), maam=m) for m in (None, SCOPE)]
    for engine in both:
        engine.setup()
    return both


def requests_of(world, count, **sampling):
    folder, items = world
    settings = Sampling(**{"temperature": 0.0, "max_tokens": 160, **sampling})
    requests = []
    for item in items[:count]:
        clip = decode(folder / "clips" / f"{item.clip.name}.mp4", DecodeSpec(max_frames=32, max_pixels=50176))
        prompt = get_prompt("separate-then-fuse@1").render(item.draft.text, item.draft.choices)
        requests.append(Request(f"{item.number}", prompt, clip.audio, clip.frames, clip.fps, 1, item.number, settings))
    return requests


def completions_of(written):
    longest = max(map(len, written))
    ids, mask = torch.zeros(len(written), longest, dtype=torch.long), torch.zeros(len(written), longest)
    for i, response in enumerate(written):
        ids[i, : len(response)], mask[i, : len(response)] = torch.tensor(response), 1
    return ids, mask


@pytest.mark.slow
def test_what_is_decoded_row_by_row_is_likeliest_under_the_whole_mask(engines, world):
    """Prompts of different lengths in one batch, so positions are padded; responses end at different steps."""
    plain, masked = engines
    requests = requests_of(world, 4)
    written = masked.sample(requests).written
    texts = [masked.decode(w) for w in written]
    assert all("<v>" in t and "</a>" in t and masked_as(t) == "whole" for t in texts), texts
    ids, mask = completions_of(written)
    with torch.no_grad():
        under, _ = Omni(masked).forward(masked.model, requests, ids, mask)
        captured, mass = Omni(masked).forward(masked.model, requests, ids, mask, ("audio", frozenset({0})))
        causal, _ = Omni(plain).forward(plain.model, requests, ids, mask)
    for logits in (under, causal):
        logits[..., masked.banned] = -torch.inf
    tokens = mask.bool()
    assert (under.argmax(-1) == ids)[tokens].all()
    heard, all_of_it = (log_probabilities(x, ids)[tokens] for x in (under, causal))
    assert (heard - all_of_it).abs().max() > 1e-3
    # the capturing attention reads the same mask, and sees no audio from inside <v>
    assert torch.allclose(captured[tokens][:, :200], under[tokens][:, :200], atol=1e-4)
    for row, text in enumerate(texts):
        inside = len(plain.processor.tokenizer(text[: text.index("</v>")], add_special_tokens=False)["input_ids"])
        opened = len(plain.processor.tokenizer(text[: text.index("<v>") + 3], add_special_tokens=False)["input_ids"])
        assert mass[row, opened:inside].max() == 0 and mass[row, inside + 2 : int(mask[row].sum())].max() > 0


@pytest.mark.slow
def test_answers_depend_neither_on_the_batch_nor_on_its_padding(engines, world):
    _, masked = engines
    requests = requests_of(world, 3, temperature=1.0)
    together = masked.sample([replace(r, n=2) for r in requests]).written
    alone = [w for r in requests for w in masked.sample([replace(r, n=2)]).written]
    assert together == alone


def test_eager_attention_is_refused_before_anything_is_decoded(world):
    engine = TransformersEngine(Checkpoint("embedded"), maam=SCOPE)
    engine.setup()
    engine.model.set_attn_implementation("eager")
    with pytest.raises(UserError, match="needs sdpa or flex"):
        engine.sample(requests_of(world, 1))


def test_the_mask_is_part_of_what_answers_depend_on():
    with_mask, without = (TransformersEngine(Checkpoint("embedded"), maam=m).identity() for m in (SCOPE, None))
    assert with_mask.pop("maam") == SCOPE and with_mask == without


@pytest.mark.slow
def test_flex_attention_reads_the_same_mask(engines, world, fresh_compiler):
    _, masked = engines
    requests = requests_of(world, 2)
    ids, mask = completions_of(masked.sample(requests).written)
    omni = Omni(masked)
    with torch.no_grad():
        sdpa, _ = omni.forward(masked.model, requests, ids, mask)
        inner = masked.model.model
        before = inner.config._attn_implementation
        try:
            masked.model.config.text_config._attn_implementation = "flex_attention"
            inner.config._attn_implementation = "flex_attention"
            assert type(omni.batch(requests, ids, mask)["attention_mask"]).__name__ == "BlockMask"
            flex, _ = omni.forward(masked.model, requests, ids, mask)
        finally:
            inner.config._attn_implementation = before
            masked.model.config.text_config._attn_implementation = before
    assert torch.allclose(flex[mask.bool()], sdpa[mask.bool()], atol=2e-4)
