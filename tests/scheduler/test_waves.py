"""Asking in waves: decided once, by what a request and a response cost, and kept to."""

import json
import time

import pytest

from avcurate.engines.base import Failure, Perception, Reply, Response
from avcurate.engines.scripted import ScriptedEngine
from avcurate.scheduler.spec import AskSpec
from avcurate.scheduler.waves import measure_waves
from tests import running
from tests.conftest import CountingEmbedder
from tests.scheduler.test_early_exit import Chancy, labels, run, setting  # noqa: F401


class Costs(Chancy):
    """Each request and each response takes its time."""

    far = True

    def __init__(self, seed, request_s=0.0, response_s=0.0, fails=False):
        super().__init__(seed)
        self.request_s, self.response_s, self.fails = request_s, response_s, fails
        self.measured = 0

    def generate(self, source):
        while (request := source.take(wait=True)) is not None:
            if not request.key.startswith("waves"):
                yield from super().generate(_One(request))
                continue
            self.measured += 1
            if self.fails:
                yield Failure(request.key, "request_refused", "no")
                continue
            time.sleep(self.request_s + self.response_s * request.n * (request.sampling.max_tokens > 1))
            yield Reply(request.key, tuple(Response(i, "x", "stop", 1) for i in range(request.n)), -1, -1, -1)

    def perceive(self, request):
        return Perception(-1, -1, -1)


class _One:
    def __init__(self, request):
        self.request = request

    def take(self, wait):
        request, self.request = self.request, None
        return request


@pytest.mark.parametrize(
    ("engine", "waves"),
    [
        (Costs(0, request_s=0.01, response_s=0.001), False),
        (Costs(0, request_s=0.001, response_s=0.01), True),
        (Costs(0, response_s=0.01, fails=True), False),
    ],
)
def test_waves_are_asked_where_a_response_costs_much_more_than_a_request(engine, waves):
    measured = measure_waves(engine, AskSpec())
    assert measured["waves"] is waves
    if not engine.fails:
        assert measured["request_ms"] == pytest.approx(1000 * engine.request_s, rel=0.6)
        assert measured["response_ms"] == pytest.approx(1000 * engine.response_s, rel=0.6)


def decided(run_dir):
    return run_dir.record()["stages"]["sample"].get("decided")


def test_what_was_decided_is_recorded_and_kept_to(setting):  # noqa: F811
    far, near = Costs(3, request_s=0.01), Costs(3, response_s=0.01)
    one, asked = run(setting, "kept", far)
    assert asked and decided(one)["waves"] is False and far.measured
    facts = [json.loads(f.read_text())["facts"]["waves"] for f in (one.root / "sample").glob("*.json")]
    assert facts and set(facts) == {0.0}
    first = labels(one)
    # an engine for which waves would pay now: not measured again, and nothing asked again
    again, asked = run(setting, "kept", near)
    assert labels(again) == first and not asked and not near.measured and decided(again)["waves"] is False
    waves, fewer = run(setting, "waves", Costs(3, response_s=0.01))
    assert decided(waves)["waves"] is True and 0 < fewer < far.responses
    assert {k: v[0] for k, v in labels(waves).items()} == {k: v[0] for k, v in first.items()}


def test_another_engine_with_force_is_measured_again(setting):  # noqa: F811
    one, _ = run(setting, "forced", Costs(3, request_s=0.01))
    assert decided(one)["waves"] is False
    other = Costs(4, response_s=0.01)
    changes = {"annotations": setting / "q.json", "media": setting, "embedder.tau_cot": -1.0, "run.part_size": 16}
    running.run("label-pem", one.root, changes, engine=other, embedder=CountingEmbedder(), force=True)
    assert other.measured and decided(one)["waves"] is True


def test_engines_whose_kind_says_it_are_not_measured(setting):  # noqa: F811
    near, _ = run(setting, "near", Chancy(3))
    assert decided(near) is None and not ScriptedEngine.far
