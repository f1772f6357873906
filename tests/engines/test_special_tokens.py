"""A question that holds a special token is one dead row; it ends neither its batch nor the run."""

import json

import pytest

from avcurate.engines.base import Failure, ListSource, Reply, Request, Sampling
from avcurate.engines.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine():
    pytest.importorskip("transformers")
    from avcurate.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(Checkpoint("embedded"))
    engine.setup()
    yield engine
    engine.close()


def test_what_the_processor_raises_for_one_text_stays_with_that_request(engine, world):
    from avcurate.media.decode import DecodeSpec, decode

    folder, items = world
    clip = decode(folder / "clips" / f"{items[0].clip.name}.mp4", DecodeSpec(max_frames=8, max_pixels=50_176))
    sampling = Sampling(max_tokens=4)
    texts = {"one": "What is heard?", "bad": "Is <|AUDIO|> heard?", "two": "What is seen?"}
    requests = [Request(k, t, clip.audio, clip.frames, clip.fps, 1, 0, sampling) for k, t in texts.items()]
    replies = {r.key: r for r in engine.generate(ListSource(requests))}
    assert isinstance(replies["one"], Reply) and isinstance(replies["two"], Reply)
    assert isinstance(replies["bad"], Failure) and replies["bad"].reason == "engine_error"


def test_the_tokens_are_read_from_the_tokenizer_or_known_of_the_family(engine, tmp_path):
    assert {"<|AUDIO|>", "<|VIDEO|>", "<|im_start|>"} <= engine.special_tokens
    bare = tmp_path / "served"
    bare.mkdir()
    (bare / "config.json").write_text(json.dumps({"model_type": "qwen3_omni_moe"}))
    assert "<|audio_pad|>" in Checkpoint(str(bare)).special_tokens
