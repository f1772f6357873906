"""Every family in vLLM, on tiny checkpoints: the tokens and the words of transformers, at lengths that fill no hop."""

import random

import numpy as np
import pytest

from avcurate.engines.base import ListSource, Reply, Request, Sampling
from avcurate.engines.canary import check_hearing
from avcurate.engines.checkpoint import Checkpoint
from avcurate.recipe import ModelSpec
from tests.conftest import LONG, sampled
from tests.families.conftest import BUILDERS

pytest.importorskip("vllm", reason="vLLM is not installed (make setup-test installs it)")

pytestmark = pytest.mark.slow
# users' models always; of the others one
OFTEN = ("qwen3_omni_moe", "qwen2_5_omni")
KINDS = [*OFTEN, *sampled((k for k in BUILDERS if k not in OFTEN), 1)]
GREEDY = Sampling(temperature=0.0, max_tokens=8)
# largest change of a first token's log-probability; that of Gemma 4 is up to 0.03 between vLLM 0.32 and transformers
# 5.19, though its tokens are the same, and unlike that of Gemma 4 unified, which has no per-layer embeddings
CLOSE = {"gemma4": 0.08}


@pytest.fixture(scope="module", params=KINDS)
def both(request, checkpoint_of):
    """(vLLM, transformers) on one checkpoint."""
    from avcurate.engines.transformers_engine import TransformersEngine
    from avcurate.engines.vllm_engine import VllmEngine

    folder = str(checkpoint_of(request.param))
    served = VllmEngine(ModelSpec(engine="vllm", model=folder, max_model_len=4096, max_sequences=16), False)
    served.setup()
    local = TransformersEngine(Checkpoint(folder))
    local.setup()
    yield served, local
    served.close()
    local.close()


def sound(samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def picture(frames, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (frames, height, width, 3), np.uint8)


def shown(family, count):
    """Requests under A, V and AV as far as the family takes them."""
    rng, requests = random.Random(11), []
    for i in range(count):
        audio = sound([32_800, 160_125, 16_001][i] if i < 3 else rng.randrange(400, 200_000), i)
        frames = picture(2 * rng.randrange(1, 4), rng.randrange(40, 200), rng.randrange(40, 200), i)
        settings = {"a": (audio, None)} | ({"v": (None, frames), "av": (audio, frames)} if family.sees else {})
        for name, media in settings.items():
            requests.append(
                Request(f"{i}/{name}", "what is shown and what makes this sound", *media, 2.0, 1, 0, GREEDY)
            )
    return requests


def replies(engine, requests):
    found = {r.key: r for r in engine.generate(ListSource(requests))}
    assert all(isinstance(r, Reply) for r in found.values()), found
    return found


def test_both_engines_receive_the_same_tokens_and_say_the_same(both):
    served, local = both
    requests = shown(local.family, 200 if LONG else 8)
    here, there = replies(local, requests), replies(served, requests)
    alike = 0
    for request in requests:
        one, other = here[request.key], there[request.key]
        assert (one.audio_tokens, one.video_tokens) == local.expected_tokens(request), request.key
        counts = [(r.prompt_tokens, r.audio_tokens, r.video_tokens) for r in (one, other)]
        assert counts[0] == counts[1], request.key
        # vLLM leaves out bytes that are not a whole character yet
        texts = [r.responses[0].text.rstrip("\ufffd") for r in (one, other)]
        alike += texts[0] == texts[1]
    print(f"\n{local.family.name}: {alike} of {len(requests)} greedy responses are equal")
    assert alike == len(requests) or local.family.name in CLOSE
    for request in requests[:6]:
        one, other = (engine.perceive(request).logprobs for engine in (local, served))
        shared = one.keys() & other.keys()
        assert len(shared) >= 10, request.key
        assert max(abs(one[t] - other[t]) for t in shared) < CLOSE.get(local.family.name, 1e-3), request.key


def test_the_canary_hears_and_sees_through_vllm(both):
    check_hearing(both[0])
