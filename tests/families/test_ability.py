"""What a family cannot take is refused before anything is decoded; what is too long for it is not answered as whole."""

import json
import subprocess

import pytest

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.store.parts import Parts
from tests import running
from tests.conftest import CountingEmbedder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of 2, 31 and 33 s, with a question on each: (annotations, folder)."""
    folder = tmp_path_factory.mktemp("clips")
    questions = []
    for i, seconds in enumerate((2, 30.05, 33)):
        name = f"c{i}.mp4"
        subprocess.run(
            ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc=s=64x48:r=4:d={seconds}", "-f", "lavfi", "-i",
             f"sine=300:d={seconds}", "-c:v", "libx264", "-c:a", "aac", "-shortest", str(folder / name)], check=True,
        )  # fmt: skip
        questions.append(
            {"question_id": f"q{i}", "media": name, "question": "what", "choices": ["a", "b"], "answer": "a"}
        )
    file = folder / "questions.json"
    file.write_text(json.dumps(questions))
    return file, folder


def asked(out, clips, model, task="eval", **changes):
    given = {"annotations": clips[0], "media": clips[1], "n": 1, "model.model": str(model), "sampling.max_tokens": 3}
    given |= {"media.max_pixels": 3136, **changes}
    parts = {"embedder": CountingEmbedder()} if task == "label-pem" else {}
    tallies = running.run(task, out, given, **parts)
    return tallies["sample" if task == "label-pem" else "eval"]


def rows(out, stage):
    return {r["media"][:2]: r for t in RunDir(out).parts(stage).rows() for r in t.to_pylist()}


def test_a_model_that_only_hears_is_not_asked_what_it_sees(clips, checkpoint_of, tmp_path):
    with pytest.raises(UserError, match="Qwen2-Audio cannot see, and v, av would show it a picture"):
        asked(tmp_path / "pem", clips, checkpoint_of("qwen2_audio"), "label-pem")
    assert not (tmp_path / "pem/sample").exists() or not list(Parts(tmp_path / "pem/sample").rows())
    with pytest.raises(UserError, match="cannot see, and av would"):
        asked(tmp_path / "av", clips, checkpoint_of("qwen2_audio"), conditions=["av"])


def test_a_model_that_only_hears_answers_what_it_hears(clips, checkpoint_of, tmp_path):
    tally = asked(tmp_path / "a", clips, checkpoint_of("audioflamingo3"), conditions=["a"])
    assert tally.kept == 3 and not tally.dead
    assert all(r["asked"][0]["audio_tokens"] > 0 for r in rows(tmp_path / "a", "eval").values())


def test_a_layout_that_a_family_lacks_is_refused(clips, checkpoint_of, tmp_path):
    with pytest.raises(UserError, match="one after the other only"):
        asked(tmp_path / "i", clips, checkpoint_of("gemma4"), conditions=["av"], layout="interleaved")


@pytest.mark.parametrize("kind", ["qwen2_audio", "gemma4"])
def test_sound_over_the_limit_is_filtered_unless_the_recipe_cuts_it(clips, checkpoint_of, tmp_path, kind):
    """Both cut at 30 s without a word. 50 ms more are a codec's padding."""
    tally = asked(tmp_path / "f", clips, checkpoint_of(kind), conditions=["a"])
    assert tally.kept == 2 and tally.filtered == {"over_family_limit": 1}
    assert all(r["seconds_not_shown"] == 0 for r in rows(tmp_path / "f", "eval").values())
    tally = asked(tmp_path / "c", clips, checkpoint_of(kind), conditions=["a"], **{"media.over_limit": "cut"})
    assert tally.kept == 3
    cut = rows(tmp_path / "c", "eval")
    assert cut["c0"]["seconds_not_shown"] == 0 and cut["c2"]["seconds_not_shown"] == pytest.approx(3, abs=0.2)
    assert cut["c2"]["duration"] == pytest.approx(30, abs=0.3)


def test_a_clip_cut_by_the_recipe_is_marked(clips, checkpoint_of, tmp_path):
    asked(tmp_path / "m", clips, checkpoint_of("qwen2_5_omni"), conditions=["av"], **{"media.max_seconds": 20})
    marked = rows(tmp_path / "m", "eval")
    assert marked["c2"]["seconds_not_shown"] == pytest.approx(13, abs=0.2) and marked["c0"]["seconds_not_shown"] == 0


@pytest.mark.parametrize(
    ("kind", "engine", "reason"),
    [
        ("phi4_multimodal", "transformers", "takes frames as pictures only"),
        ("phi4_multimodal", "vllm", "as a model of text alone"),
        ("nemotron_h_omni", "transformers", "generating with frames fails"),
        ("voxtral", "transformers", "mistral-common"),
        ("minicpmo", "transformers", "no class for it"),
        ("something_new", "transformers", "of type 'something_new'; known are qwen2_5_omni"),
        ("something_new", "vllm", "of type 'something_new'; known are qwen2_5_omni"),
    ],
)
def test_what_cannot_run_says_why(clips, tmp_path, kind, engine, reason):
    """An unknown model is never taken for one that reads text."""
    model = tmp_path / "model"
    model.mkdir()
    config = {"model_type": kind, "architectures": ["NewForCausalLM"], "audio_config": {}}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=reason):
        asked(tmp_path / "out", clips, model, conditions=["a"], **{"model.engine": engine})
