"""Run a task from its recipe, and open existing runs; called by the command line and the Python API."""

from __future__ import annotations

from typing import Any

from avcurate.errors import UserError
from avcurate.recipe import ModelSpec, TaskRecipe, override, read_recipe, validated
from avcurate.runner.job import How
from avcurate.runner.ray.cluster import Ask
from avcurate.runner.rundir import RunDir
from avcurate.runner.source import Extent
from avcurate.runner.tally import Begin, Tally, begin_no_progress
from avcurate.tasks import TASKS
from avcurate.tasks.base import Context, Task, require_inputs

OWN_MODEL = ("transformers", "vllm")
"""Engines that hold the model in their own process; the others reach a server, and need no GPU."""


def load_recipe(task: type[Task[Any]], name: str | None = None, changes: dict[str, Any] | None = None) -> TaskRecipe:
    """A task's recipe by name or path, with changes such as ``{"model.engine": "vllm"}``.

    Raises:
        UserError: there is no such recipe, it is of another kind, or a field is invalid.
    """
    data, where = written_recipe(task, name)
    return recipe_of(task, override(data, changes or {}), where)


def written_recipe(task: type[Task[Any]], name: str | None = None) -> tuple[dict[str, Any], str]:
    """The fields of a task's recipe as written, and their source; without a name, those of its default.

    Raises:
        UserError: there is no such recipe.
    """
    chosen = name or task.default
    return read_recipe(chosen) if chosen else ({}, f"the default of {task.name}")


def recipe_of(task: type[Task[Any]], data: dict[str, Any], where: str) -> TaskRecipe:
    """A task's recipe from its fields; ``kind`` defaults to the task.

    Raises:
        UserError: it is of another kind, or a field is invalid.
    """
    kind = data.get("kind", task.name)
    if kind != task.name:
        raise UserError(
            f"{where} is a {kind} recipe, which {task.name} cannot use.",
            f"See `avcurate recipe ls`, or run `avcurate run {where}`.",
        )
    return validated(task.recipe, {**data, "kind": task.name}, where)


def how_of(recipe: TaskRecipe, *, force: bool = False, retry: frozenset[str] | None = None) -> How:
    """Run options from a recipe."""
    options = recipe.run
    extent = Extent(options.limit, frozenset(options.only), frozenset(options.records), options.part_size)
    return How(extent, force, retry, options.fail_on_dead, options.executor, _ask(recipe))


def _ask(recipe: TaskRecipe) -> Ask:
    """What a replica takes of a Ray cluster: the GPUs that the model is split over, and CPUs to decode with."""
    options, model = recipe.run.ray, getattr(recipe, "model", None)
    gpus = options.gpus
    if gpus is None and isinstance(model, ModelSpec) and model.engine in OWN_MODEL:
        split = model.tensor_parallel * model.pipeline_parallel
        gpus = float(split) if split > 1 else None
    if gpus is None and isinstance(model, ModelSpec) and model.engine not in OWN_MODEL:
        gpus = 0.0
    wanted = options.model_dump() | {"gpus": gpus, "decoders": recipe.run.threads}
    return Ask(**wanted)


def run_task(
    task: type[Task[Any]],
    recipe: TaskRecipe,
    context: Context,
    *,
    force: bool = False,
    retry: frozenset[str] | None = None,
    begin: Begin = begin_no_progress,
) -> dict[str, Tally]:
    """Run or resume a task.

    Args:
        force: redo work done with other settings.
        retry: reasons of dead rows to retry; empty: all of them.

    Returns:
        Counts of each stage.

    Raises:
        AvcurateError: see :mod:`avcurate.errors`.
    """
    require_inputs(getattr(recipe, recipe.inputs), task.name)
    return task().run(recipe, context, how_of(recipe, force=force, retry=retry), begin)


def task_of(run: RunDir, record: dict[str, Any] | None = None) -> type[Task[Any]]:
    """The task of a run, from ``run.json``.

    Raises:
        UserError: the run is from an older avcurate, or its task is not installed.
    """
    record = record or run.record()
    name = record.get("task")
    if name is None:
        if "label" in record["stages"] or "sample" in record["stages"]:
            return TASKS.get("label-pem")
        raise UserError(f"{run.root} does not record its task.", "It was made by an older avcurate.")
    return TASKS.get(str(name))


def recorded_recipe(run: RunDir, changes: dict[str, Any] | None = None) -> TaskRecipe:
    """The recipe of a run, with the current paths of its inputs.

    Raises:
        UserError: the run does not record it, or is from an older avcurate.
    """
    record = run.record()
    task = task_of(run, record)
    if record.get("schema_version", 0) < 3:
        raise UserError(f"{run.root} was made by an older avcurate and cannot be resumed.", "Start a new run.")
    inputs = {}
    for name, value in record.get("input", {}).items():
        path = run.path_of(name, record) if isinstance(value, dict) and "from_run" in value else None
        inputs[name] = str(path) if path is not None else value
    data = {**record["recipe"], task.recipe.inputs: inputs}
    return recipe_of(task, override(data, changes or {}), str(run.record_file))
