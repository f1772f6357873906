"""Metadata of a run for ``run.json``."""

from __future__ import annotations

from pathlib import Path

from avcurate.recipe import TaskRecipe
from avcurate.runner.job import About


def about(task: str, recipe: TaskRecipe) -> About:
    """Metadata of a run for ``run.json``: inputs separate from the recipe, because files move."""
    recipe = recipe.to_record()
    inputs = getattr(recipe, recipe.inputs)
    values = {name: getattr(inputs, name) for name in type(inputs).model_fields}
    as_json = inputs.model_dump(mode="json")
    kept = {k: v if isinstance(v, Path) else as_json[k] for k, v in values.items()}
    return About(task, recipe.model_dump(mode="json", exclude={recipe.inputs}), kept)
