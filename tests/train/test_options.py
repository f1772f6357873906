"""Options common to all runs, as training takes them: which questions, force, dead ones, and a folder that moved."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")

from avcurate.cli.app import app
from avcurate.errors import RecipeChanged, TooManyDead, UserError
from avcurate.runner.job import How
from avcurate.runner.rundir import RunDir
from avcurate.runner.source import Extent
from avcurate.tasks.train import training
from avcurate.tasks.train.log import read_metrics
from avcurate.train.media import read_dead
from avcurate.train.recipe import TrainInput
from tests.train.jobs import job_of, run_training


@pytest.mark.slow
def test_some_questions_other_settings_and_too_many_dead(shards, tmp_path):
    """The options common to all runs mean the same for training."""

    def go(how, out, **over):
        job = job_of(shards, out, steps=1, max_tokens=8, **over)
        recipe = job.recipe.model_copy(update={"input": TrainInput(shards=shards)})
        return training.run_training(recipe, out, how=how)

    ids = pq.read_table(shards / "data/train-00000.parquet")["question_id"].to_pylist()
    run, out = RunDir(tmp_path / "some"), tmp_path / "some"
    go(How(Extent(only=frozenset(ids[1:3]))), out)
    assert run.record()["stages"]["train"]["in"] == 2
    with pytest.raises(RecipeChanged, match="chosen"):
        go(How(), out)
    go(How(Extent(limit=3), force=True), out)
    assert run.record()["stages"]["train"]["in"] == 3 and [x["step"] for x in read_metrics(out / "metrics.jsonl")] == [
        1
    ]
    go(How(Extent(limit=3), force=True), out, learning_rate=1e-2)
    (line,) = read_metrics(out / "metrics.jsonl")
    assert run.record()["recipe"]["learning_rate"] == 1e-2 and line["step"] == 1
    for how, says in (
        (How(Extent(only=frozenset({"nosuch"}))), "the shards have no question 'nosuch'"),
        (How(Extent(records=frozenset({1}))), "no record numbers"),
        (How(executor="ray"), "executor"),
    ):
        with pytest.raises(UserError, match=says):
            go(how, tmp_path / "none")

    clips = shutil.copytree(json.loads((shards / "shards.json").read_text())["media"], tmp_path / "clips")
    row = pq.read_table(shards / "data/train-00000.parquet").slice(0, 1).to_pylist()[0]
    with (clips / row["media"]).open("ab") as f:
        f.write(b"one byte more")
    job = job_of(shards, tmp_path / "changed", steps=1, max_tokens=8)
    recipe = job.recipe.model_copy(update={"input": TrainInput(shards=shards, media=clips)})
    with pytest.raises(TooManyDead, match="media_changed"):
        training.run_training(recipe, tmp_path / "changed", how=How(Extent(limit=4), fail_on_dead=0.0))
    dead = read_dead(tmp_path / "changed/dead.jsonl")
    assert row["question_id"] in {d["question_id"] for d in dead} and {d["media"] for d in dead} == {row["media"]}


@pytest.mark.slow
def test_a_moved_training_is_read_where_it_is(shards, tmp_path, monkeypatch):
    run_training(job_of(shards, tmp_path / "here", steps=1, max_tokens=8))
    moved = shutil.move(tmp_path / "here", tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    for command in ("status", "report", "verify"):
        result = CliRunner().invoke(app, [command, "there"])
        assert result.exit_code == 0, (command, result.exception)
    assert (moved / "report.html").is_file()


def test_options_that_came_later_change_nothing_at_their_defaults():
    """A training begun before they existed resumes."""
    from avcurate.tasks.train.training import LATER, LATER_MAPO
    from tests.train.jobs import load_train

    written = load_train("train-demo-stage-1").model_dump(mode="json")
    assert {k: written[k] for k in ("by_weight", "sft")} == {k: LATER[k] for k in ("by_weight", "sft")}
    assert all(written["mapo"][k] == v for k, v in LATER_MAPO.items())
