"""What `plan` prints before anything is loaded: counts, tokens by the family's own formulas, and what will not fit."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from tests.conftest import write_questions


@pytest.fixture
def questions(tmp_path, tiny_clip):
    (tmp_path / "clips").mkdir()
    shutil.copy(tiny_clip, tmp_path / "clips/clip.mp4")
    rows = write_questions(tmp_path / "q.json", 6)
    (tmp_path / "q.json").write_text(json.dumps([*rows, {**rows[0], "id": 99, "video_name": "gone.mp4"}]))
    return tmp_path


def plan(folder, *words):
    done = CliRunner().invoke(app, ["plan", str(folder / "q.json"), "--media", str(folder / "clips"), "--json", *words])
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_counts_and_tokens_are_those_of_the_clips(questions):
    estimate = plan(questions, "--n", "4")
    assert (estimate["questions"], estimate["clips"], estimate["not_asked"]) == (6, 1, {"media_missing": 1})
    assert estimate["responses_at_most"] == 6 * 3 * 4 and estimate["seconds_of_media"] == 2
    # two seconds: 25 audio tokens a second, and of 4 frames 2 pairs of what a frame costs
    from avcurate.engines.checkpoint import Checkpoint

    family = Checkpoint("embedded").family
    clip_tokens = family.audio_tokens(32_000) + family.video_tokens(4, 48, 64)
    assert estimate["prompt_tokens"] == 6 * (2 * clip_tokens + 3 * 120) and estimate["share_over_context"] == 0


def test_a_context_that_is_too_short_is_reported_up_front(questions):
    long = plan(questions)["longest_prompt_and_response"]
    assert plan(questions, "--set", f"model.max_model_len={max(256, long)}")["share_over_context"] == 0
    words = ["--set", "model.max_model_len=256", "--set", "sampling.max_tokens=300"]
    assert plan(questions, *words)["share_over_context"] == 1


def test_a_measured_rate_adds_the_hours(questions):
    assert "hours" not in plan(questions)
    assert plan(questions, "--questions-per-hour", "12")["hours"] == 0.5


def test_an_unknown_model_has_no_token_counts(questions, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text('{"model_type": "something_else"}')
    estimate = plan(questions, "-m", str(tmp_path / "m"))
    assert estimate["model"] == str(tmp_path / "m") and "prompt_tokens" not in estimate
