"""A language model that reads text alone, behind vLLM: held to JSON, every reply of random weights can be read."""

import json

import pytest

from avcurate.engines.base import ListSource, Request, Sampling
from avcurate.engines.open import open_engine
from avcurate.metrics.judging import SCHEMA, judge_prompt, parse_judgement
from avcurate.recipe import ModelSpec
from tests.tasks.test_judging import text_model  # noqa: F401

pytest.importorskip("vllm", reason="vLLM is not installed (make setup-test)")


@pytest.mark.slow
def test_structured_output_holds_even_random_weights_to_the_schema(text_model):  # noqa: F811
    engine = open_engine(ModelSpec(engine="vllm", model=str(text_model), max_model_len=512, max_sequences=8))
    engine.setup()
    sampling = Sampling(temperature=1.0, max_tokens=440)
    prompt = judge_prompt("audio", ["a bell"], "A bell rings.")[-60:]
    ask = lambda schema: [Request(f"{i}", prompt, None, None, 1.0, 2, 9 * i, sampling, schema=schema) for i in range(4)]  # noqa: E731
    free = [x.text for r in engine.generate(ListSource(ask(""))) for x in r.responses]
    held = [x for r in engine.generate(ListSource(ask(SCHEMA))) for x in r.responses]
    engine.close()
    assert len(free) == len(held) == 8
    assert all(parse_judgement(t) is None for t in free)
    whole = [x for x in held if x.finish_reason == "stop"]
    assert whole, [x.text for x in held]
    for response in whole:
        judgement = json.loads(response.text, strict=False)
        assert set(judgement) == {"reason", "score"} and 0 <= judgement["score"] <= 1, response.text
    assert any(parse_judgement(x.text) for x in whole)
