"""What trainers share: arguments, LoRA, and where checkpoints and the log are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from avcurate.errors import UserError
from avcurate.train import processes
from avcurate.train.checkpoints import CHECKPOINTS
from avcurate.train.media import Rows
from avcurate.train.omni import Omni
from avcurate.train.recipe import TrainRecipe


@dataclass(frozen=True)
class Parts:
    """What every trainer needs.

    Attributes:
        rows: the shards' questions.
        out: folder of the training.
        log: a Trainer callback.
    """

    omni: Omni
    recipe: TrainRecipe
    media: Rows
    rows: list[dict[str, Any]]
    out: Path
    report_to: tuple[str, ...]
    log: Any

    def arguments(self) -> dict[str, Any]:
        """Arguments that GRPO and SFT share."""
        recipe, on_cpu = self.recipe, self.omni.engine.on_cpu
        return {
            "output_dir": str(self.out / CHECKPOINTS),
            "max_steps": recipe.steps,
            "per_device_train_batch_size": recipe.micro_batch,
            "learning_rate": recipe.learning_rate,
            "lr_scheduler_type": "constant_with_warmup",
            "warmup_steps": min(5, recipe.steps // 10)
            if recipe.warmup is None
            else round(recipe.warmup * recipe.steps),
            "logging_steps": 1,
            "save_steps": recipe.save_every,
            "save_total_limit": 2,
            "seed": recipe.seed,
            "report_to": list(self.report_to),
            "remove_unused_columns": False,
            "gradient_checkpointing": not on_cpu,
            "gradient_checkpointing_kwargs": {"use_reentrant": False},
            "bf16": not on_cpu,
            # with LoRA every trained weight is used in every pass; a tower is not, where no clip has its modality
            "ddp_find_unused_parameters": not recipe.lora_rank if processes.world() > 1 else None,
            "disable_tqdm": True,
            # batches are on the device already
            "dataloader_pin_memory": False,
        }

    def passes(self, count: int) -> int:
        """Micro-batches per step, of each process.

        Raises:
            UserError: ``micro_batch`` times the number of processes does not divide the step.
        """
        size, among = self.recipe.micro_batch, processes.world()
        if count % (size * among):
            shared = f" in each of {among} processes" if among > 1 else ""
            raise UserError(
                f"a step of {count} completions is not a multiple of micro_batch {size}{shared}.",
                "Change prompts, group or micro_batch in the recipe.",
            )
        return count // (size * among)

    def finished(self, trainer: Any) -> Any:
        """The trainer, with our log instead of the Trainer's printing."""
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.add_callback(self.log)
        return trainer


def lora(recipe: TrainRecipe, omni: Omni) -> Any:
    """LoRA on the linear layers of the text decoder; towers, head and fused experts are unchanged. ``None`` for rank 0.

    Layers are named one by one: for mixture-of-experts models PEFT turns a pattern into bare names, which towers share.
    """
    rank = recipe.lora_rank
    if not rank:
        return None
    from peft import LoraConfig

    pattern = re.compile(omni.engine.family.lora_targets)
    modules = omni.engine.model.named_modules()
    layers = [n for n, m in modules if isinstance(m, torch.nn.Linear) and pattern.fullmatch(n)]
    return LoraConfig(
        r=rank, lora_alpha=2 * rank if recipe.lora_alpha is None else recipe.lora_alpha, target_modules=layers
    )
