"""Real vLLM with the shipped model: it agrees with transformers, and early exit changes no label."""

import pytest

from avcurate.demo.build import build_world
from avcurate.engines.base import Request, Sampling
from avcurate.media.ablate import show
from avcurate.media.decode import DecodeSpec, decode
from avcurate.prompts import COT
from avcurate.recipe import ModelSpec
from avcurate.runner.rundir import RunDir
from avcurate.schema import Setting
from avcurate.tasks.label_pem.relabel import confusion
from tests import running
from tests.engines.ask import ask

pytest.importorskip("vllm", reason="vLLM is not installed (make setup-test installs it)")

pytestmark = pytest.mark.slow
GREEDY = Sampling(temperature=0.0, max_tokens=160, first_logprobs=20)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm") / "world"
    return folder, build_world(folder, 40, seed=303, workers=2)


@pytest.fixture(scope="module")
def engine():
    from avcurate.engines.vllm_engine import VllmEngine

    engine = VllmEngine(ModelSpec(engine="vllm", model="embedded"), False)
    engine.setup()
    # one load serves every test here
    close, engine.setup, engine.close = engine.close, lambda: None, lambda: None
    yield engine
    close()


def test_greedy_answers_are_those_of_transformers_token_by_token(engine, held_out):
    from avcurate.engines.checkpoint import Checkpoint
    from avcurate.engines.transformers_engine import TransformersEngine

    folder, items = held_out
    spec = DecodeSpec(max_frames=32, max_pixels=50_176, max_seconds=30)
    requests = []
    for item in items[:16]:
        clip = decode(folder / "clips" / f"{item.clip.name}.mp4", spec)
        for setting in Setting:
            audio, frames = show(clip, setting, "drop")
            prompt = COT.render(item.draft.text, item.draft.choices)
            requests.append(Request(f"{item.number}/{setting}", prompt, audio, frames, clip.fps, 1, 0, GREEDY))
    reference = TransformersEngine(Checkpoint("embedded"))
    reference.setup()
    mine, theirs = ask(engine, requests), ask(reference, requests)
    reference.close()
    assert len(mine) == 48
    for key, reply in mine.items():
        other = theirs[key]
        assert (reply.prompt_tokens, reply.audio_tokens, reply.video_tokens) == (
            other.prompt_tokens, other.audio_tokens, other.video_tokens,
        )  # fmt: skip
        assert [(r.text, r.tokens) for r in reply.responses] == [(r.text, r.tokens) for r in other.responses], key
        best = sorted(other.first_logprobs, key=other.first_logprobs.get)[-5:]
        assert [reply.first_logprobs[t] for t in best] == pytest.approx(
            [other.first_logprobs[t] for t in best], abs=1e-3
        )


def test_samples_do_not_depend_on_what_else_is_asked(engine, held_out):
    folder, items = held_out
    clip = decode(folder / "clips" / f"{items[0].clip.name}.mp4", DecodeSpec(max_frames=32, max_pixels=50_176))
    sampling = Sampling(temperature=1.0, max_tokens=120)
    prompt = COT.render(items[0].draft.text, items[0].draft.choices)
    requests = [
        Request(f"{i}", prompt, clip.audio, clip.frames, clip.fps, n, 1000 + first, sampling)
        for i, (first, n) in enumerate([(0, 8), (0, 3), (3, 5)])
    ]
    replies = ask(engine, requests)
    whole = [r.text for r in replies["0"].responses]
    assert [r.text for k in "12" for r in replies[k].responses] == whole
    alone = ask(engine, requests[1:2])
    assert [r.text for r in alone["1"].responses] == whole[:3]


def test_early_exit_labels_as_exhaustive_sampling_does_and_both_agree_with_the_truth(engine, held_out, tmp_path):
    folder, _ = held_out
    labels, tokens = {}, {}
    for name, early in (("early", True), ("full", False)):
        changes = {"annotations": folder / "questions.json", "media": folder / "clips"}
        changes |= {"model.engine": "vllm", "early_exit": early}
        running.run("label-pem", tmp_path / name, changes, engine=engine)
        run = RunDir(tmp_path / name)
        rows = [r for t in run.parts("label").rows() for r in t.to_pylist()]
        labels[name] = {r["question_id"]: r["pem"] for r in rows}
        tokens[name] = sum(x["tokens"] for r in rows for s in Setting for x in r[f"{s}_responses"])
        agreement = confusion(run, folder / "truth.jsonl")
        for pem in ("Audio", "Visual", "Audio-Visual"):
            assert agreement[f"{pem}_precision"] >= 0.95 and agreement[f"{pem}_recall"] >= 0.80, agreement
    assert labels["early"] == labels["full"] and len(labels["full"]) == 40
    assert tokens["early"] < tokens["full"]
