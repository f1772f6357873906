"""Recipes: fields that are not given keep their default at every level."""

import pytest

from avcurate.errors import UserError
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
