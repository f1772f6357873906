"""Options of ``train`` reach the job they describe."""

import pytest
from typer.testing import CliRunner

from avcurate.chains import training
from avcurate.cli.app import app


@pytest.fixture
def jobs(monkeypatch):
    seen = []

    def run(job, tick):
        seen.append(job)
        return job.out / "model"

    monkeypatch.setattr(training, "run_training", run)
    return seen


def run(*words):
    return CliRunner().invoke(app, ["train", *map(str, words)], catch_exceptions=False)


def test_stages_masks_servers_and_judges(jobs, tmp_path):
    words = ["--stage", "1", "--maam", "--lora", 4, "--seed", 7, "--algo", "mapo", "--report-to", "tensorboard"]
    served = ["--rollout-url", "http://r/v1", "--judge-url", "http://j/v1", "--judge-model", "checker"]
    assert run("shards", "-o", tmp_path, "-r", "train-mapo", *words, *served).exit_code == 0
    (job,) = jobs
    recipe = job.recipe
    assert (recipe.accuracy_weight, recipe.preference_weight, recipe.maam, recipe.lora_rank) == (0.0, 1.0, True, 4)
    assert (recipe.seed, recipe.algo, job.report_to, job.rollout_url) == (7, "mapo", ("tensorboard",), "http://r/v1")
    assert job.judge.engine == "server" and job.judge.urls == ("http://j/v1",) and job.judge.model == "checker"


def test_without_options_the_recipe_stands(jobs, tmp_path):
    assert run("shards", "-o", tmp_path, "-r", "train-sffl-stage-2", "--stage", "2").exit_code == 0
    assert run("shards", "-o", tmp_path, "-r", "train-sffl-stage-2").exit_code == 0
    first, second = (j.recipe for j in jobs)
    assert first == second and not first.maam and jobs[1].judge is None and jobs[1].rollout_url is None


def test_what_is_no_stage_is_refused(jobs, tmp_path):
    assert run("shards", "-o", tmp_path, "--stage", "3").exit_code == 2 and not jobs
