"""Recipes of every kind: those of tasks, and what they refer to."""

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
        found: type[Strict] = getattr(importlib.import_module(module), attribute)
        return found
    if kind not in TASKS:
        raise UserError(f"there is no kind of recipe {kind!r}.", f"Kinds are: {', '.join([*TASKS.names(), *OTHERS])}.")
    return TASKS.get(kind).recipe


def recipe_kind(name: str) -> type[Task[Any]]:
    """The task that a recipe is of; label-pem where it names none.

    Raises:
        UserError: there is no such recipe or task.
    """
    data, _ = read_recipe(name)
    return TASKS.get(str(data.get("kind", "label-pem")))


def load_any(name: str) -> Strict:
    """A recipe of any kind, by name or path; label-pem where it names none.

    Raises:
        UserError: there is no such recipe or kind, or a field of it is wrong.
    """
    data, where = read_recipe(name)
    model = recipe_model(str(data.get("kind", "label-pem")))
    fields = {k: v for k, v in data.items() if k != "out" or "out" in model.model_fields}
    return validated(model, fields, where)


def differences(one: str, other: str) -> dict[str, tuple[Any, Any]]:
    """Fields in which two recipes of one kind differ, by dotted name.

    Raises:
        UserError: they are of different kinds.
    """
    a, b = load_any(one), load_any(other)
    if type(a) is not type(b):
        raise UserError(f"{one} and {other} are recipes of different kinds.", "Compare two of one kind.")
    left, right = _flat(a), _flat(b)
    return {k: (left.get(k), right.get(k)) for k in sorted(left.keys() | right.keys()) if left.get(k) != right.get(k)}


def _flat(recipe: BaseModel) -> dict[str, Any]:
    def walk(value: Any, prefix: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix: value}
        return {k: v for key, child in value.items() for k, v in walk(child, f"{prefix}.{key}".lstrip(".")).items()}

    return walk(recipe.model_dump(mode="json", exclude={"name", "about"}), "")
