"""Recipes: fields that are not given keep their default at every level."""

import pytest

from avcurate.errors import UserError
from avcurate.recipe import read_recipe
from avcurate.tasks import TASKS
from avcurate.tasks.judge.recipe import JudgeRecipe
from avcurate.tasks.pair.recipe import PairRecipe
from avcurate.tasks.run import load_recipe


def test_setting_one_field_of_a_section_keeps_the_recipes_other_defaults():
    assert PairRecipe.model_validate({"run": {"limit": 3}}).run.part_size == 1024
    judge = JudgeRecipe.model_validate({"sampling": {"temperature": 0.0}})
    assert (judge.sampling.temperature, judge.sampling.top_k, judge.sampling.max_tokens) == (0.0, 20, 8192)


def test_unknown_fields_are_refused_by_name():
    with pytest.raises(UserError, match="colour"):
        load_recipe(TASKS.get("judge"), None, {"colour": "red"})


def test_a_recipe_extends_another_and_not_in_a_circle(tmp_path):
    (tmp_path / "a.yaml").write_text("kind: train\nsteps: 7\nmapo: {eta: 0.2, layers: 3}\nrewards: {accuracy: 1.0}\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\nname: b\nmapo: {eta: 0.5}\n")
    (tmp_path / "c.yaml").write_text("extends: b.yaml\nsteps: 9\n")
    data, _ = read_recipe(str(tmp_path / "c.yaml"))
    assert data == {
        "kind": "train",
        "name": "b",
        "steps": 9,
        "mapo": {"eta": 0.5, "layers": 3},
        "rewards": {"accuracy": 1.0},
    }
    (tmp_path / "a.yaml").write_text("extends: c.yaml\n")
    with pytest.raises(UserError, match="extends it in turn"):
        read_recipe(str(tmp_path / "c.yaml"))
    (tmp_path / "a.yaml").write_text("extends: nowhere\n")
    with pytest.raises(UserError, match="does not exist"):
        read_recipe(str(tmp_path / "a.yaml"))
