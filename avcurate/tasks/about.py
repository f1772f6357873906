"""What ``run.json`` says of a task's run."""

from __future__ import annotations

from pathlib import Path

from avcurate.recipe import TaskRecipe
from avcurate.runner.job import About


def about(task: str, recipe: TaskRecipe) -> About:
    """What ``run.json`` says of a run: inputs apart from the recipe, since files move."""
    recipe = recipe.to_record()
    inputs = getattr(recipe, recipe.inputs)
    values = {name: getattr(inputs, name) for name in type(inputs).model_fields}
    plain = inputs.model_dump(mode="json")
    kept = {k: v if isinstance(v, Path) else plain[k] for k, v in values.items()}
    return About(task, recipe.model_dump(mode="json", exclude={recipe.inputs}), kept)
