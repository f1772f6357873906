"""A benchmark of real clips: built, audited, and taken as it is by the commands that ask models."""

import json

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.runner.rundir import RunDir
from avcurate.tasks.benchmark.rebuild import verify
from avcurate.tasks.benchmark.score import score
from avcurate.tasks.benchmark.summary import unbalanced
from tests import running
from tests.conftest import LONG, REPO

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'avcurate[onnx]')")


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="takes a quarter of an hour (make test-long)")
def test_forty_real_clips_become_a_benchmark_that_every_command_takes(shared, tmp_path):
    media = shared / "clips"
    detected = {"media": media, "model": shared / "models/nanodet/nanodet.onnx", "threshold": 0.45, "floor": 0.08}
    running.run("objects", tmp_path / "objects", {**detected, "sheets": "false"})
    evidence = REPO / "tests/tasks/real_evidence.jsonl"
    built = {"evidence": evidence, "media": media, "objects": tmp_path / "objects", "licence": "research"}
    tallies = running.run("benchmark-hallucination", tmp_path / "bench", built)
    assert tallies["looked"].kept >= 40 and tallies["looked"].filtered == {"no_audio_track": 5}
    assert tallies["merged"].dead == {"contradictory_evidence": 1} and tallies["make"].dead == {}
    folder = tmp_path / "bench/benchmark"
    questions = [json.loads(x) for x in (folder / "questions.jsonl").open()]
    assert len(questions) >= 200 and len({q["media"] for q in questions}) >= 40
    assert {q["task"] for q in questions} >= {"visible", "audible", "match", "which_heard", "which_seen"}
    assert unbalanced(running.rows_of(RunDir(tmp_path / "bench"), "make")) == []
    assert {c.state for c in verify(folder, media)} == {"unchanged"}
    # text alone
    running.run("leak", tmp_path / "leak", {"annotations": folder, "text_only": "true"})
    # the embedded model knows nothing of real clips; every question is asked and counted
    running.run("eval", tmp_path / "eval", {"annotations": folder, "conditions": "av", "n": 1, "run.limit": 60})
    result = score(RunDir(tmp_path / "eval"))
    assert result["questions"] == len(questions) and len(running.rows_of(RunDir(tmp_path / "eval"), "eval")) == 60
    for words in (["caption", str(folder)], ["probe", "attention", str(folder)]):
        done = CliRunner().invoke(app, [*words, "-m", "embedded", "--limit", "2", "-o", str(tmp_path / words[0])])
        assert done.exit_code == 0, done.output
