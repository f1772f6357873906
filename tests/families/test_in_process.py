"""Every family in transformers, on tiny checkpoints with their real processors: counts hold alone and in any batch."""

import random

import numpy as np
import pytest
import torch

from avcurate.engines.base import ListSource, Reply, Request, Sampling
from avcurate.engines.canary import check_hearing
from avcurate.engines.checkpoint import Checkpoint
from avcurate.families import FAMILIES
from tests.conftest import LONG
from tests.families.conftest import BUILDERS

pytestmark = pytest.mark.slow
KINDS = list(BUILDERS)
SEEING = ["qwen2_5_omni", "qwen3_omni_moe", "gemma4", "gemma4_unified"]
LENGTHS = 1000 if LONG else 24
GREEDY = Sampling(temperature=0.0, max_tokens=6)


@pytest.fixture(scope="module", params=KINDS)
def engine(request, checkpoint_of):
    from avcurate.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(Checkpoint(str(checkpoint_of(request.param))))
    engine.setup()
    yield engine
    engine.close()


def sound(samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def lengths(family):
    """Odd and whole numbers of hops, below a second and above a chunk; 160,125 is a 10 s clip of AAC."""
    rng = random.Random(5)
    drawn = [160_125, 400, 16_000, 480_000, 480_001, *(rng.randrange(200, 200_000) for _ in range(LENGTHS))]
    return [n for n in drawn if n <= family.longest_sound * 16_000]


def test_every_family_is_registered():
    assert set(KINDS) | {"phi4_multimodal", "nemotron_h_omni", "voxtral", "minicpmo"} == set(FAMILIES.names())


def test_audio_tokens_are_counted_right_alone_and_beside_a_longer_clip(engine):
    checkpoint, family = engine.checkpoint, engine.family
    longer = Request("longer", "what", sound(int(min(40.0, family.longest_sound) * 16_000)), None, 2.0, 1, 0, GREEDY)
    wrong = []
    for samples in lengths(family):
        request = Request("q", "what", sound(samples), None, 2.0, 1, 0, GREEDY)
        expected = checkpoint.media_tokens(request)[0]
        alone = engine.inputs([request])
        beside = engine.inputs([request, longer])
        counts = [engine.tokens.count(i["input_ids"][0])[0] for i in (alone, beside)]
        if counts != [expected, expected]:
            wrong.append((samples, expected, counts))
    assert not wrong, wrong[:5]
    print(f"\n{checkpoint.model_type}: {len(lengths(family))} lengths, alone and mixed")


def test_less_silence_after_a_sound_leaves_its_features_as_they_are(engine):
    """Qwen2.5-Omni's processor pads every sound to 300 s, which is most of what a short clip costs."""
    if engine.checkpoint.model_type != "qwen2_5_omni":
        pytest.skip("its processor pads to no fixed length")
    sounds = [sound(n, n) for n in (160_125, 64_000, 400, 79_999)]
    for some in ([sounds[0]], sounds):
        ours = engine.inputs([Request(str(i), "what", s, None, 2.0, 1, 0, GREEDY) for i, s in enumerate(some)])
        texts = [engine.processor.audio_token] * len(some)
        whole = engine.processor(text=texts, audio=some, sampling_rate=16_000, return_tensors="pt", padding=True)
        assert whole["input_features"].shape[-1] == 30_000 > 2 * ours["input_features"].shape[-1]
        for i in range(len(some)):
            length = int(whole["feature_attention_mask"][i].sum())
            assert length == int(ours["feature_attention_mask"][i].sum())
            assert torch.equal(ours["input_features"][i, :, :length], whole["input_features"][i, :, :length])


def test_video_tokens_are_counted_right(engine):
    if not engine.family.sees:
        pytest.skip(f"{engine.family.about} has no vision tower")
    rng, wrong = random.Random(7), []
    for _ in range(200 if LONG else 25):
        frames, height, width = rng.choice((2, 4, 6, 8)), rng.randrange(32, 400), rng.randrange(32, 400)
        shown = np.zeros((frames, height, width, 3), np.uint8)
        request = Request("q", "what", None, shown, 2.0, 1, 0, GREEDY)
        got = engine.tokens.count(engine.inputs([request])["input_ids"])[1]
        if engine.checkpoint.media_tokens(request) != (0, got):
            wrong.append((shown.shape, got, engine.checkpoint.media_tokens(request)))
    assert not wrong, wrong[:5]


def test_an_answer_does_not_depend_on_its_neighbour_in_the_batch(engine):
    """A clip of 160,125 samples: unpadded, Qwen3-Omni's processor reads 130 tokens of it alone and 131 in company."""
    short = Request("short", "what makes this sound", sound(160_125), None, 2.0, 2, 3, Sampling(max_tokens=6))
    longer = Request("longer", "what", sound(320_000, 1), None, 2.0, 1, 4, Sampling(max_tokens=6))
    alone = {r.key: r for r in engine.generate(ListSource([short]))}["short"]
    company = {r.key: r for r in engine.generate(ListSource([short, longer]))}["short"]
    assert isinstance(alone, Reply) and alone == company
    assert alone.audio_tokens == engine.checkpoint.media_tokens(short)[0]


@pytest.mark.parametrize("interleaved", [False, True])
def test_the_canary_tells_settings_apart(engine, interleaved):
    if interleaved and not engine.family.interleaves:
        pytest.skip(f"{engine.family.about} has no interleaved layout")
    check_hearing(engine, interleaved)


def test_it_hears_and_sees_in_the_number_format_of_a_gpu(engine):
    """Not every tower casts its features to bfloat16; float32 on a CPU would hide it."""
    from avcurate.engines.canary_clips import canary_of
    from avcurate.engines.transformers_engine import TransformersEngine

    half = TransformersEngine(engine.checkpoint, dtype="bfloat16")
    half.setup()
    for request in canary_of(half).values():
        perceived = half.perceive(request)
        assert (perceived.audio_tokens, perceived.video_tokens) == half.expected_tokens(request)
    half.close()
