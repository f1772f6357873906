"""An engine that loses or confuses a modality is caught before or during the run; its answers are never confirmed."""

import pytest

from avcurate.engines.canary import check_hearing
from avcurate.engines.canary_clips import NotHearing
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import dead_rows
from tests import running
from tests.conftest import CountingEmbedder
from tests.engines import cheats


def test_an_honest_engine_passes():
    check_hearing(cheats.Honest())


@pytest.mark.parametrize("cheat", [cheats.DropsAudio, cheats.StaleAudio, cheats.Deaf, cheats.Blind])
def test_a_cheat_is_caught_before_the_run(cheat):
    with pytest.raises(NotHearing, match="doctor"):
        check_hearing(cheat())


def run(world, tmp_path, monkeypatch, engine, questions=40):
    folder, _ = world
    changes = {"annotations": folder / "questions.json", "media": folder / "clips"}
    changes |= {"run.limit": questions, "run.part_size": 8}
    tallies = running.run("label-pem", tmp_path / "run", changes, engine=engine, embedder=CountingEmbedder())
    return RunDir(tmp_path / "run"), tallies


def test_audio_lost_during_the_run_kills_those_rows_and_no_others(world, tmp_path, monkeypatch):
    """The canary is held back here, so that token accounting is what catches it."""
    for module in ("avcurate.tasks.sampling", "avcurate.scheduler.schedule"):
        monkeypatch.setattr(f"{module}.check_hearing", lambda engine, interleaved: None)
    run_dir, tallies = run(world, tmp_path, monkeypatch, cheats.DropsAudioLater())
    assert set(tallies["sample"].dead) == {"modality_not_delivered"}
    assert tallies["sample"].kept + sum(tallies["sample"].dead.values()) == 40
    honest_answers = [r for t in run_dir.parts("sample").rows() for r in t.to_pylist()]
    assert all(r["av_audio_tokens"] > 0 for r in honest_answers)
    assert "audio was sent" in dead_rows(run_dir)[0]["message"]


def test_stale_audio_during_the_run_stops_it_before_anything_is_confirmed(world, tmp_path, monkeypatch):
    engine = cheats.StaleAudioLater()
    engine.after = 100
    with pytest.raises(NotHearing, match="sound is missing or stale"):
        run(world, tmp_path, monkeypatch, engine)
    run_dir = RunDir(tmp_path / "run")
    kept = [r for t in run_dir.parts("sample").rows() for r in t.to_pylist()]
    # 32 requests are confirmed at a time; the stale ones begin after 100 responses
    asked = sum(r["av_asked"] + r["a_asked"] + r["v_asked"] for r in kept)
    assert asked <= engine.after
    assert run_dir.record()["stages"]["sample"].get("complete") is None


def test_missing_responses_kill_their_rows_and_are_never_counted_as_asked(world, tmp_path, monkeypatch):
    run_dir, tallies = run(world, tmp_path, monkeypatch, cheats.LosesResponses())
    dead = tallies["sample"].dead
    assert set(dead) == {"responses_missing"} and tallies["sample"].kept + dead["responses_missing"] == 40
    assert "responses came back" in dead_rows(run_dir)[0]["message"]


def evaluate(world, tmp_path, engine, questions=40):
    folder, _ = world
    changes = {"annotations": folder / "questions.json", "media": folder / "clips", "conditions": "a,v,av"}
    running.run("eval", tmp_path / "run", changes | {"run.limit": questions, "run.part_size": 8}, engine=engine)


@pytest.mark.parametrize("cheat", [cheats.DropsAudio, cheats.StaleAudio, cheats.Deaf, cheats.Blind])
def test_eval_has_the_same_canary_before_it_begins(world, tmp_path, cheat):
    with pytest.raises(NotHearing):
        evaluate(world, tmp_path, cheat())
    assert not list((tmp_path / "run").rglob("eval/part-*"))


def test_eval_has_the_same_canary_while_it_runs(world, tmp_path):
    engine = cheats.StaleAudioLater()
    engine.after = 60
    with pytest.raises(NotHearing):
        evaluate(world, tmp_path, engine)
