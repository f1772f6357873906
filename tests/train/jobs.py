"""A training run for tests: shards, a folder and a recipe."""

from dataclasses import dataclass
from pathlib import Path

from avcurate.tasks.run import load_recipe
from avcurate.tasks.train import training
from avcurate.tasks.train.task import Train
from avcurate.train.recipe import TrainInput, TrainRecipe

SMALL = {"prompts": 2, "group": 4, "micro_batch": 4, "max_tokens": 60, "steps": 4, "save_every": 2}


def load_train(name, changes=None) -> TrainRecipe:
    """A training recipe by name."""
    return load_recipe(Train, name, changes)


@dataclass(frozen=True)
class TrainJob:
    """One training run."""

    shards: Path
    out: Path
    recipe: TrainRecipe
    media: Path | None = None
    rollout_url: str | None = None
    report_to: tuple[str, ...] = ()


def run_training(job, tick=lambda step, steps, values: None):
    """Train; returns the folder of the model."""
    inputs = TrainInput(shards=job.shards, media=job.media)
    changes = {"input": inputs, "rollout_url": job.rollout_url, "report_to": job.report_to}
    return training.run_training(job.recipe.model_copy(update=changes), job.out, tick)


def job_of(shards, out, **over):
    """A small training of the first stage."""
    return TrainJob(shards, out, load_train("train-demo-stage-1", {**SMALL, **over}))
