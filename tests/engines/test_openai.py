"""The embedded model behind a strict endpoint: no unknown field is sent, and a deaf or blind endpoint is caught."""

import dataclasses
import json

import numpy as np
import pytest

from avcurate.engines.base import Failure, ListSource, Reply, Request, Sampling
from avcurate.engines.behaviour import check_behaviour, difference_by_chance
from avcurate.engines.canary import check_hearing
from avcurate.engines.canary_clips import NotHearing
from avcurate.engines.openai_engine import OpenAIEngine
from avcurate.errors import UserError
from avcurate.recipe import ModelSpec
from tests import running
from tests.conftest import CountingEmbedder
from tests.engines.strict_endpoint import FIELDS, endpoint

pytest.importorskip("PIL")


@pytest.fixture(scope="module")
def embedded():
    pytest.importorskip("transformers")
    from avcurate.engines.checkpoint import Checkpoint
    from avcurate.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(Checkpoint("embedded"))
    engine.setup()
    yield engine
    engine.close()


def client(url, model="tiny-omni", **options):
    quick = {"attempts": 2, "max_wait_s": 0.05}
    engine = OpenAIEngine(ModelSpec(engine="openai", model=model, urls=(url,), options=quick | options))
    engine.setup()
    return engine


def request(**changes):
    frames = np.full((4, 112, 112, 3), 90, np.uint8)
    sampling = Sampling(temperature=1.0, max_tokens=40, top_k=20)
    default = Request("r", "What is it?", np.zeros(16_000, np.float32), frames, 2.0, 3, 7, sampling)
    return dataclasses.replace(default, **changes)


def answer(engine, one_request):
    (reply,) = engine.generate(ListSource([one_request]))
    return reply


@pytest.mark.slow
def test_a_strict_endpoint_answers_and_seeds_decide(embedded):
    with endpoint(embedded) as (url, bodies):
        engine = client(url)
        first, second = answer(engine, request()), answer(engine, request())
        assert isinstance(first, Reply) and len(first.responses) == 3 and first == second
        assert (first.audio_tokens, first.video_tokens) == (-1, -1)
        assert [p["type"] for p in bodies[0]["messages"][0]["content"]] == [
            "text",
            *["image_url"] * 4,
            "input_audio",
            "text",
        ]
        engine.close()


@pytest.mark.slow
def test_where_n_and_seed_are_not_offered_each_response_is_a_request(embedded):
    with endpoint(embedded, takes=FIELDS - {"n", "seed"}) as (url, bodies):
        refused = answer(client(url), request())
        assert isinstance(refused, Failure) and "Unrecognized request argument" in refused.message
        bodies.clear()
        engine = client(url, n=False, seed=False)
        assert len(answer(engine, request()).responses) == 3 and len(bodies) == 3
        assert not {"n", "seed"} & set(bodies[0])


@pytest.mark.slow
def test_an_honest_endpoint_passes_and_each_cheat_is_caught(embedded):
    with endpoint(embedded) as (url, _):
        check_hearing(client(url))
    cheats = {
        "sound, alone": lambda r: dataclasses.replace(r, audio=None if r.audio is None else np.zeros_like(r.audio)),
        "picture, alone": lambda r: dataclasses.replace(
            r, frames=None if r.frames is None else np.zeros_like(r.frames)
        ),
        # the usual one: sound is lost where there is a picture
        "sound, under the same picture": lambda r: r if r.frames is None else dataclasses.replace(r, audio=None),
        "picture, over the same sound": lambda r: r if r.audio is None else dataclasses.replace(r, frames=None),
    }
    for named, cheat in cheats.items():
        what, how = named.split(", ")
        with endpoint(embedded, cheat=cheat) as (url, _), pytest.raises(NotHearing, match=f"the {what} alone, {how}"):
            check_behaviour(client(url))


@pytest.mark.slow
def test_rows_say_that_hearing_was_shown_by_behaviour(embedded, world, tmp_path):
    folder, _ = world
    with endpoint(embedded) as (url, bodies):
        changes = {"annotations": folder / "questions.json", "media": folder / "clips", "run.limit": 4, "n": 2}
        changes |= {"model.engine": "openai", "model.model": "tiny-omni", "model.urls": [url]}
        running.run("label-pem", tmp_path / "run", changes, embedder=CountingEmbedder())
    from avcurate.runner.rundir import RunDir

    rows = running.rows_of(RunDir(tmp_path / "run"), "sample")
    assert {r["hearing"] for r in rows} == {"behaviour"} and {r["engine"] for r in rows} == {"openai"}
    assert bodies and "SECRET" not in json.dumps(json.loads((tmp_path / "run/run.json").read_text()))


def test_names_and_keys(monkeypatch, tmp_path):
    from tests.attack.cases import Steady

    steady = Steady(lambda r: "<answer>red</answer>")
    steady.broken = False
    with endpoint(steady, name="other") as (url, _), pytest.raises(UserError, match="serves other, not tiny-omni"):
        client(url)
    with endpoint(steady, lists=False) as (url, _):
        assert isinstance(answer(client(url), request()), Reply)
    with (
        endpoint(steady, lists=False, says="gpt-nothing") as (url, _),
        pytest.raises(UserError, match="answered as 'gpt-nothing'"),
    ):
        answer(client(url), request())
    with endpoint(steady, key="SECRET") as (url, _):
        monkeypatch.delenv("AVCURATE_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with pytest.raises(UserError, match="AVCURATE_API_KEY"):
            client(url)
        monkeypatch.setenv("AVCURATE_API_KEY", "SECRET")
        engine = client(url)
        assert "SECRET" not in json.dumps(engine.identity()) and isinstance(answer(engine, request()), Reply)
    with pytest.raises(UserError, match="nothing answers"):
        client("http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match="no option"):
        client("http://127.0.0.1:9/v1", video_kwargs={})


def test_a_pem_cannot_be_forced():
    from tests.attack.cases import Steady

    with endpoint(Steady(lambda r: "x")) as (url, _):
        reply = answer(client(url), request(prefix="<mod>Audio</mod>"))
    assert isinstance(reply, Failure) and reply.reason == "request_refused"


def test_texts_of_one_kind_differ_by_chance_and_of_two_kinds_do_not():
    rng = np.random.default_rng(0)
    words = np.array(["a", "red", "square", "goes", "right", "and", "a", "low", "hum", "is", "heard", "over", "it"])

    def say(extra):
        return " ".join([*rng.choice(words, 9), *extra])

    alike = [
        difference_by_chance([say([]) for _ in range(24)], [say([]) for _ in range(24)], seed=i) for i in range(20)
    ]
    assert 0.2 < np.mean(alike) < 0.8 and min(alike) > 0.002
    assert difference_by_chance([say(["buzz", "buzz"]) for _ in range(24)], [say(["hiss"]) for _ in range(24)]) < 0.002
    assert difference_by_chance(["same"] * 5, ["same"] * 5) == 1
