"""The trainer of algorithms with rollouts, from a recipe."""

from __future__ import annotations

from typing import Any

import datasets
from trl import GRPOConfig

from avcurate.errors import UserError
from avcurate.train import processes
from avcurate.train.algorithm import Algorithm
from avcurate.train.parts import Parts, lora
from avcurate.train.scoring import Scorer
from avcurate.train.served import ServedRollouts
from avcurate.train.trainer import OmniTrainer


def make_trainer(parts: Parts, algorithm: Algorithm, scorer: Scorer, served: ServedRollouts | None) -> Any:
    """A trainer for an algorithm with rollouts.

    Raises:
        UserError: too few questions, or recipe sizes that do not divide evenly.
    """
    recipe = parts.recipe
    if len(parts.rows) < recipe.prompts:
        raise UserError(
            f"the shards hold {len(parts.rows)} questions to train on, fewer than a step's {recipe.prompts}.",
            "Label more, or lower prompts in the recipe.",
        )
    if recipe.prompts % processes.world():
        raise UserError(
            f"a step's {recipe.prompts} questions cannot be shared among {processes.world()} processes.",
            "Change prompts in the recipe.",
        )
    passes = parts.passes(recipe.prompts * recipe.group)
    if passes % recipe.updates:
        raise UserError(
            f"{passes} micro-batches of {recipe.micro_batch} do not divide into {recipe.updates} updates.",
            "Change prompts, group, micro_batch or updates in the recipe.",
        )
    args = GRPOConfig(
        **parts.arguments(),
        gradient_accumulation_steps=passes // recipe.updates,
        steps_per_generation=passes,
        num_generations=recipe.group,
        max_completion_length=recipe.max_tokens,
        temperature=recipe.temperature,
        beta=0.0,
        loss_type="grpo",
    )
    trainer = OmniTrainer(
        parts.omni,
        recipe,
        parts.media,
        args,
        algorithm,
        scorer,
        served,
        train_dataset=datasets.Dataset.from_list([{"prompt": r["question"], "row": r} for r in parts.rows]),
        processing_class=parts.omni.engine.processor.tokenizer,
        peft_config=lora(recipe, parts.omni),
    )
    return parts.finished(trainer)
