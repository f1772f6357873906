"""Recipes of every kind: tasks, chains, pools and benchmarks."""

from __future__ import annotations

import importlib
from typing import Any

from pydantic import BaseModel

from avcurate.errors import UserError
from avcurate.recipe import Strict, read_recipe, validated
from avcurate.tasks import TASKS
from avcurate.tasks.base import Task

OTHERS = {
    "pool": "avcurate.tasks.dominance.recipe:PoolRecipe",
    "chain": "avcurate.chain.recipe:ChainRecipe",
    "benchmark": "avcurate.benchmark.rules:BenchmarkRecipe",
}


def recipe_model(kind: str) -> type[Strict]:
    """The model of a kind of recipe.

    Raises:
        UserError: there is no such kind.
    """
    if kind in OTHERS:
        module, _, attribute = OTHERS[kind].partition(":")
        model: type[Strict] = getattr(importlib.import_module(module), attribute)
        return model
    if kind not in TASKS:
        raise UserError(f"there is no kind of recipe {kind!r}.", f"Kinds are: {', '.join([*TASKS.names(), *OTHERS])}.")
    return TASKS.get(kind).recipe


def recipe_kind(name: str) -> type[Task[Any]]:
    """The task of a recipe; label-pem if it names none.

    Raises:
        UserError: there is no such recipe or task.
    """
    data, _ = read_recipe(name)
    return TASKS.get(str(data.get("kind", "label-pem")))


def load_any(name: str) -> Strict:
    """A recipe of any kind, by name or path; label-pem if it names none.

    Raises:
        UserError: there is no such recipe or kind, or a field is invalid.
    """
    data, where = read_recipe(name)
    model = recipe_model(str(data.get("kind", "label-pem")))
    fields = {k: v for k, v in data.items() if k != "out" or "out" in model.model_fields}
    return validated(model, fields, where)


def differences(one: str, other: str) -> dict[str, tuple[Any, Any]]:
    """Fields that differ between two recipes of one kind, by dotted name.

    Raises:
        UserError: they are of different kinds.
    """
    first, second = load_any(one), load_any(other)
    if type(first) is not type(second):
        raise UserError(f"{one} and {other} are recipes of different kinds.", "Compare two of the same kind.")
    left, right = _flat(first), _flat(second)
    return {k: (left.get(k), right.get(k)) for k in sorted(left.keys() | right.keys()) if left.get(k) != right.get(k)}


def _flat(recipe: BaseModel) -> dict[str, Any]:
    def walk(value: Any, prefix: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix: value}
        return {k: v for key, child in value.items() for k, v in walk(child, f"{prefix}.{key}".lstrip(".")).items()}

    return walk(recipe.model_dump(mode="json", exclude={"name", "about"}), "")
