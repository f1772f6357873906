"""The server engine on servers that fail: everything is answered once, refused by name, or stops the run."""

import numpy as np
import pytest

from avcurate.engines.base import Failure, ListSource, Request, Sampling
from avcurate.engines.embedder import open_embedder
from avcurate.engines.server import ServerEngine
from avcurate.engines.wire import KEPT, Encoder
from avcurate.errors import UserError
from avcurate.recipe import ModelSpec
from tests.engines.fake_server import Plan, serve

SAMPLING = Sampling(temperature=1.0, max_tokens=8)
QUICK = {"max_wait_s": 0.05, "timeout_s": 1.0}


def requests(count, n=2):
    frames = np.zeros((2, 28, 28, 3), np.uint8)
    audio = np.zeros(1600, np.float32)
    return [Request(f"r{i}", f"Question {i}?", audio, frames, 2.0, n, 100 * i, SAMPLING) for i in range(count)]


def engine_on(*urls, **options):
    spec = ModelSpec(engine="server", model="tiny", urls=urls, options={**QUICK, **options})
    engine = ServerEngine(spec)
    engine.setup()
    return engine


def test_transient_failures_are_retried_and_answered_once():
    plan = Plan(503, "cut", 429, "half", 500, "slow", "ok", 503, 502, "cut")
    with serve(plan) as url:
        engine = engine_on(url)
        replies = {r.key: r for r in engine.generate(ListSource(requests(20)))}
        engine.close()
    assert len(replies) == 20
    for i in range(20):
        assert [r.text for r in replies[f"r{i}"].responses] == [f"answer {100 * i}", f"answer {100 * i + 1}"]
        assert [r.seed for r in replies[f"r{i}"].responses] == [100 * i, 100 * i + 1]


def test_a_refused_request_is_a_failure_of_its_own():
    with serve(Plan("ok", 400, "odd")) as url:
        engine = engine_on(url, send_once=False)
        engine.limit = 1.0
        replies = {r.key: r for r in engine.generate(ListSource(requests(5)))}
        engine.close()
    failures = {k: r for k, r in replies.items() if isinstance(r, Failure)}
    assert len(replies) == 5 and len(failures) == 2
    assert {f.reason for f in failures.values()} == {"request_refused", "answer_malformed"}
    assert any("status 400 on demand" in f.message for f in failures.values())


def test_servers_that_stay_down_stop_the_run_with_the_next_step():
    with serve(Plan(*[503] * 50)) as url:
        engine = engine_on(url, attempts=3)
        with pytest.raises(UserError, match="no server answered after 3 attempts"):
            list(engine.generate(ListSource(requests(4))))
        engine.close()
    with pytest.raises(UserError, match="no OpenAI-compatible server answers"):
        engine_on(url)


def test_concurrency_falls_under_errors_and_grows_again():
    with serve(Plan(*[503] * 8)) as url:
        engine = engine_on(url, attempts=12)
        seen = []
        for _ in engine.generate(ListSource(requests(60))):
            seen.append(engine.limit)
        engine.close()
    assert min(seen) < 4.0 < max(seen)


def test_work_is_spread_over_servers_and_a_dead_one_is_named():
    one, other = Plan(), Plan()
    with serve(one) as first, serve(other) as second:
        engine = engine_on(first, second)
        assert len(list(engine.generate(ListSource(requests(30))))) == 30
        engine.close()
    assert one.served > 5 and other.served > 5 and one.served + other.served == 30


def test_a_body_says_rate_seed_and_number_and_leaves_out_what_is_not_shown():
    plan = Plan()
    with serve(plan) as url:
        engine = engine_on(url)
        both = requests(1)[0]
        deaf = Request("deaf", "Q?", None, both.frames, 2.0, 3, 7, SAMPLING)
        blind = Request("blind", "Q?", both.audio, None, 2.0, 3, 7, SAMPLING)
        engine.limit = 1.0
        assert len(list(engine.generate(ListSource([both, deaf, blind])))) == 3
        engine.close()
    bodies = {tuple(c["type"] for c in b["messages"][0]["content"]): b for b in plan.bodies}
    everything, no_sound, no_picture = (
        ("video_url", "input_audio", "text"), ("video_url", "text"), ("input_audio", "text"),
    )  # fmt: skip
    assert bodies.keys() == {everything, no_sound, no_picture}
    assert {k: (b["n"], b["seed"]) for k, b in bodies.items()} == {
        everything: (2, 0),
        no_sound: (3, 7),
        no_picture: (3, 7),
    }
    assert bodies[everything]["mm_processor_kwargs"]["fps"] == 2.0 and "mm_processor_kwargs" not in bodies[no_picture]


def shown_again(engine, count):
    """Requests on the same frames, one after the other; what was answered."""
    frames = requests(1)[0].frames
    asked = [Request(f"r{i}", "Q?", None, frames, 2.0, 1, i, SAMPLING) for i in range(count)]
    engine.limit, engine.spec = 1.0, engine.spec.model_copy(update={"max_sequences": 1})
    return list(engine.generate(ListSource(asked)))


def test_a_clip_is_sent_once_and_again_to_a_server_that_forgot_it():
    plan = Plan("ok", "ok", 400, "ok", 503)
    with serve(plan) as url:
        engine = engine_on(url, attempts=3)
        replies = shown_again(engine, 4)
        engine.close()
    assert len(replies) == 4 and not any(isinstance(r, Failure) for r in replies)
    parts = [b["messages"][0]["content"][0] for b in plan.bodies]
    assert len({p["uuid"] for p in parts}) == 1
    # sent; named; named and refused, so sent; named, the server busy, so sent
    assert [p["video_url"] is not None for p in parts] == [True, False, False, True, False, True]
    with serve(Plan()) as url:
        engine = engine_on(url, send_once=False)
        assert len(shown_again(engine, 2)) == 2
        engine.close()


def test_frames_become_text_once():
    encoder, frames = Encoder("PNG"), np.zeros((2, 8, 8, 3), np.uint8)
    url, digest = encoder.video(frames)
    assert encoder.video(frames)[0] is url
    other = encoder.video(frames + 1)
    assert other[1] != digest and Encoder("PNG").video(frames.copy()) == (url, digest)
    assert Encoder("JPEG").video(frames)[1] != digest
    held = [np.full((1, 8, 8, 3), i, np.uint8) for i in range(40)]
    for array in held:
        encoder.video(array)
    assert len(encoder._kept) == KEPT


def test_concurrency_doubles_until_a_server_is_busy():
    with serve(Plan()) as url:
        engine = engine_on(url)
        seen = [engine.limit for _ in engine.generate(ListSource(requests(40)))]
        engine.close()
    assert max(seen) >= 40


def test_embeddings_come_back_in_order_after_trouble():
    with serve(Plan(503, "cut")) as url:
        embedder = open_embedder(f"{url}#tiny")
        embedder.setup()
        assert embedder.embed(["a", "bbb", "cc"])[:, 0].tolist() == [1, 3, 2]
    with serve(Plan(400)) as url:
        embedder = open_embedder(f"{url}#tiny")
        embedder.setup()
        with pytest.raises(UserError, match="failed"):
            embedder.embed(["a"])
        with pytest.raises(UserError, match="serves tiny, not big"):
            open_embedder(f"{url}#big").setup()
    with pytest.raises(UserError, match="does not say which model"):
        open_embedder(url)


ODD_VECTORS = [
    [{"index": 0, "embedding": [float("nan"), 1.0]}],
    [{"index": 0, "embedding": [float("inf"), 1.0]}],
    [{"index": 0, "embedding": [0.0, 0.0]}],
    [{"index": 0, "embedding": []}],
    [{"index": 1, "embedding": [1.0]}],
    [{"index": "0", "embedding": [1.0]}],
    [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
]


@pytest.mark.parametrize("data", ODD_VECTORS)
def test_vectors_that_say_nothing_are_refused(data):
    with serve(Plan(lambda handler, body: handler.answer(200, {"data": data}))) as url:
        embedder = open_embedder(f"{url}#tiny")
        embedder.setup()
        with pytest.raises(UserError, match="Check the server"):
            embedder.embed(["a"])


def test_a_server_with_another_model_is_refused_even_where_it_is_the_only_one():
    """It would answer under the requested name, and the labels would carry that name."""
    with serve(Plan()) as url:
        other = ModelSpec(engine="server", model="Qwen/Qwen3-Omni-30B-A3B-Instruct", urls=(url,), options=QUICK)
        with pytest.raises(UserError, match="serves tiny, not Qwen/Qwen3-Omni"):
            ServerEngine(other).setup()
        alias = ServerEngine(other.model_copy(update={"served_name": "tiny"}))
        alias.setup()
        assert alias.model == "tiny" and alias.answered_by[url]["id"] == "tiny"
        alias.close()


def test_one_of_several_servers_with_another_model_is_refused():
    with (
        serve(Plan()) as one,
        serve(Plan(model="other")) as two,
        pytest.raises(UserError, match="serves other, not tiny"),
    ):
        engine_on(one, two)
