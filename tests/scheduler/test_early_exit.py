"""Early exit asks less and labels the same; looser thresholds ask only what is missing."""

import random
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcurate.engines.base import Engine, Reply, Response
from avcurate.metrics.pem import AV_UNSOLVED, UNDECIDED
from avcurate.runner.rundir import RunDir
from avcurate.seeds import derive_seed
from avcurate.tasks.label_pem.relabel import relabel_run
from tests import running
from tests.conftest import CountingEmbedder, write_questions


class Chancy(Engine):
    """Each response is right with a probability of its question and setting, drawn from its own seed."""

    name = "chancy"
    perceives = False

    def __init__(self, seed: int, keeps_prompts: bool = True):
        self.seed, self.keeps_prompts = seed, keeps_prompts
        self.responses = 0

    def identity(self):
        return {"engine": self.name, "seed": self.seed}

    def setup(self):
        self.responses = 0

    def perceive(self, request):
        raise AssertionError("not asked")

    def generate(self, source):
        while (request := source.take(wait=True)) is not None:
            question, setting, _ = request.key.split("/")
            rate = random.Random(derive_seed(self.seed, question, setting)).choice([0.0, 0.25, 0.5, 0.8, 1.0])
            texts = []
            for i in range(request.n):
                right = random.Random(derive_seed("r", request.seed + i)).random() < rate
                number = int(request.prompt.split("scene ")[1].split("?")[0])
                answer = ["red", "green", "blue", "yellow"][(number + (not right)) % 4]
                texts.append(f"<think>It looks {answer}.</think><answer>{answer}</answer>")
            self.responses += request.n
            responses = tuple(Response(request.seed + i, t, "stop", 4) for i, t in enumerate(texts))
            yield Reply(request.key, responses, -1, -1, -1)


@pytest.fixture(scope="module")
def setting(tmp_path_factory, tiny_clip):
    folder = tmp_path_factory.mktemp("early")
    shutil.copy(tiny_clip, folder / "clip.mp4")
    write_questions(folder / "q.json", 40)
    return folder


def run(folder, name, engine, **overrides):
    changes = {"annotations": folder / "q.json", "media": folder, "embedder.tau_cot": -1.0, "run.part_size": 16}
    running.run("label-pem", folder / name, changes | overrides, engine=engine, embedder=CountingEmbedder())
    return RunDir(folder / name), engine.responses


def labels(run_dir):
    rows = [r for t in run_dir.parts("label").rows() for r in t.to_pylist()]
    return {r["question_id"]: (r["pem"], r["discard_reason"], r["av_k"], r["av_asked"]) for r in rows}


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), tau=st.sampled_from([0.25, 0.625, 0.75, 1.0]), waves=st.booleans())
@pytest.mark.slow
def test_labels_are_those_of_exhaustive_sampling(setting, seed, tau, waves):
    try:
        early, asked_early = run(setting, "early", Chancy(seed, waves), tau_acc=tau)
        full, asked_full = run(setting, "full", Chancy(seed), tau_acc=tau, early_exit=False)
        one, other = labels(early), labels(full)
        assert one.keys() == other.keys() and asked_full == 40 * 3 * 8
        assert asked_early < asked_full
        for row_id, (pem, reason, _, _) in one.items():
            assert pem == other[row_id][0]
            if reason != AV_UNSOLVED:
                assert reason == other[row_id][1]
    finally:
        shutil.rmtree(setting / "early", ignore_errors=True)
        shutil.rmtree(setting / "full", ignore_errors=True)


def test_a_looser_threshold_says_what_it_cannot_decide_and_asks_only_that(setting):
    tight, _ = run(setting, "tight", Chancy(5), tau_acc=1.0)
    before = {r["question_id"]: r for t in tight.parts("sample").rows() for r in t.to_pylist()}
    change = relabel_run(tight, 0.5, None)
    assert change["undecided"] > 0
    undecided = {i for i, x in labels(tight).items() if x[1] == UNDECIDED}

    loose, asked = run(setting, "tight", Chancy(5), tau_acc=0.5)
    independent, asked_independent = run(setting, "fresh", Chancy(5), tau_acc=0.5)
    assert 0 < asked < asked_independent
    assert {i: x[:2] for i, x in labels(loose).items()} == {i: x[:2] for i, x in labels(independent).items()}
    after = {r["question_id"]: r for t in loose.parts("sample").rows() for r in t.to_pylist()}
    changed = {i for i in before if before[i] != after[i]}
    assert undecided <= changed
    for i in changed:
        for s in ("a", "v", "av"):
            stored = before[i][f"{s}_responses"]
            assert after[i][f"{s}_responses"][: len(stored)] == stored


def test_responses_do_not_depend_on_order_or_parts(setting):
    run(setting, "one", Chancy(9))
    run(setting, "two", Chancy(9), **{"run.part_size": 7, "run.workers": 1})
    rows = [
        {r["question_id"]: r for t in RunDir(setting / n).parts("label").rows() for r in t.to_pylist()}
        for n in ("one", "two")
    ]
    assert rows[0] == rows[1]


class Noted:
    """A source that notes what is taken from it."""

    def __init__(self, source, taken):
        self.source, self.taken = source, taken

    def take(self, wait):
        request = self.source.take(wait)
        if request is not None:
            self.taken.append((request.key.rsplit("/", 1)[0], request.n))
        return request


def test_an_engine_that_reads_prompts_anew_is_asked_once_per_setting(setting):
    """Each wave would cost it a further prefill; it saves the settings that are not asked at all."""
    taken = []

    class Counting(Chancy):
        def generate(self, source):
            return super().generate(Noted(source, taken))

    asked_once, few = run(setting, "once", Counting(11, False))
    assert all(n == 8 for _, n in taken) and len(dict(taken)) == len(taken)
    in_waves, fewer = run(setting, "waves", Chancy(11, True))
    assert fewer < few < 40 * 3 * 8
    assert {i: x[0] for i, x in labels(asked_once).items()} == {i: x[0] for i, x in labels(in_waves).items()}
    tables = ([r for t in x.parts("sample").rows() for r in t.to_pylist()] for x in (asked_once, in_waves))
    for a, b in zip(*tables, strict=True):
        for s in ("a", "v", "av"):
            assert a[f"{s}_responses"][: len(b[f"{s}_responses"])] == b[f"{s}_responses"]
