"""Options of ``train`` reach the recipe they describe."""

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.tasks.train import training


@pytest.fixture
def recipes(monkeypatch):
    received = []

    def run(recipe, out, tick, how):
        received.append(recipe)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run_training", run)
    return received


def run(*words):
    return CliRunner().invoke(app, ["train", *map(str, words)])


def test_stages_masks_servers_and_judges(recipes, tmp_path):
    words = ["--stage", "1", "--maam", "--lora", 4, "--seed", 7, "--algo", "mapo", "--report-to", "tensorboard"]
    served = ["--rollout-url", "http://r/v1", "--judge-url", "http://j/v1", "--judge-model", "checker"]
    run("shards", "-o", tmp_path, "-r", "train-mapo", *words, *served)
    (recipe,) = recipes
    assert (recipe.rewards, recipe.maam, recipe.lora_rank) == ({"preference": 1.0}, True, 4)
    assert (recipe.seed, recipe.algo, recipe.report_to, recipe.rollout_url) == (
        7,
        "mapo",
        ("tensorboard",),
        "http://r/v1",
    )
    judge = recipe.judge
    assert (judge.engine, judge.urls, judge.model) == ("server", ("http://j/v1",), "checker")


def test_without_options_the_recipe_is_unchanged(recipes, tmp_path):
    run("shards", "-o", tmp_path, "-r", "train-sffl-stage-2", "--stage", "2")
    run("shards", "-o", tmp_path, "-r", "train-sffl-stage-2")
    first, second = (r.model_copy(update={"stage": None}) for r in recipes)
    assert first == second and first.maam and not second.judge.urls and second.rollout_url is None


def test_an_unknown_stage_is_refused(recipes, tmp_path):
    assert run("shards", "-o", tmp_path, "--stage", "3").exit_code == 2 and not recipes
