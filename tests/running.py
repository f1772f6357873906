"""Run a task as the command line does, optionally with components supplied by the test."""

from avcurate.runner.tally import begin_no_progress
from avcurate.tasks import TASKS
from avcurate.tasks.base import Context
from avcurate.tasks.label_pem.ingest import ingest_only
from avcurate.tasks.run import load_recipe, run_task


def recipe_for(name, changes=None, recipe=None):
    """A task's recipe; changes named after an input field are applied to the input."""
    task = TASKS.get(name)
    model = task.recipe.model_fields["input"].annotation
    named = {f"input.{k}" if k in model.model_fields else k: v for k, v in (changes or {}).items()}
    return load_recipe(task, recipe, {k: str(v) if hasattr(v, "parts") else v for k, v in named.items()})


def run(name, out, changes=None, *, recipe=None, force=False, retry=None, begin=begin_no_progress, **parts):
    """Run a task; ``parts`` are engine, embedder or detector. Returns the counts of each stage."""
    loaded = recipe_for(name, changes, recipe)
    return run_task(TASKS.get(name), loaded, Context(out, **parts), force=force, retry=retry, begin=begin)


def ingest(out, changes=None):
    """Run only the first stage of label-pem."""
    return ingest_only(recipe_for("label-pem", changes), out)


def rows_of(run_dir, table, columns=None):
    """All kept rows of a table."""
    return [r for t in run_dir.parts(table).rows(columns=columns) for r in t.to_pylist()]
