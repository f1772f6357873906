"""Supervised fine-tuning, the baseline: the target is one stored chain of thought per question.

TRL's SFTTrainer, fed batches with audio and video: its own collators handle images only.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

import datasets
import torch
from trl import SFTConfig, SFTTrainer

from avcurate.attention.function import bare
from avcurate.engines.base import Request, Sampling
from avcurate.errors import UserError
from avcurate.prompts import get_prompt
from avcurate.seeds import derive_seed
from avcurate.train.algorithm import Algorithm, Completions
from avcurate.train.media import Rows
from avcurate.train.omni import Omni
from avcurate.train.parts import Parts, lora
from avcurate.train.recipe import SftSpec, TrainRecipe
from avcurate.train.resume import ThinkerCheckpoints
from avcurate.train.shards import sft_columns

IGNORED = -100


def pick_target(row: dict[str, Any], seed: int, spec: SftSpec | None = None) -> str | None:
    """One of the responses that ``spec`` takes, by the question's own seed; ``None`` if there is none."""
    spec = spec or SftSpec()
    responses, rights = (row[c] for c in sft_columns(spec.setting))
    texts = [
        r["text"]
        for r, right in zip(responses or (), rights or (), strict=False)
        if (right or not spec.only_right) and r["finish_reason"] == "stop"
    ]
    return random.Random(derive_seed("sft", seed, row["question_id"])).choice(texts) if texts else None


class OmniCollator:
    """Turn rows with a ``target`` into model inputs, with labels on the target only.

    Args:
        omni: the model; recipe: prompt; rows: reads media; everyone: all items, for a batch with no readable clip.
    """

    def __init__(self, omni: Omni, recipe: TrainRecipe, rows: Rows, everyone: list[dict[str, Any]]) -> None:
        self.omni, self.recipe, self.rows, self.everyone = omni, recipe, rows, everyone

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch: prompts left-padded, responses right-padded.

        Rows whose clip cannot be read are skipped; if none is left, another item takes their place.

        Raises:
            UserError: no clip can be read, or clips have different frame rates.
        """
        self.rows.ahead(item["row"] for item in items)
        read = list(self.rows.readable(items)) or list(itertools.islice(self.rows.readable(self.everyone), 1))
        if not read:
            raise UserError("none of the shards' clips can be read.", "See dead.jsonl next to the log; check --media.")
        items, requests = [item for item, _ in read], list[Request]()
        for item, clip in read:
            row = item["row"]
            prompt = get_prompt(self.recipe.prompt).render(row["question"], row["choices"])
            requests.append(Request(row["question_id"], prompt, clip.audio, clip.frames, clip.fps, 1, 0, Sampling()))
        tokenizer = self.omni.engine.processor.tokenizer
        end = tokenizer.eos_token_id
        targets = [
            [*tokenizer.encode(item["target"], add_special_tokens=False, split_special_tokens=True), end]
            for item in items
        ]
        longest = max(map(len, targets))
        ids = torch.full((len(items), longest), end)
        mask = torch.zeros(len(items), longest)
        for i, target in enumerate(targets):
            ids[i, : len(target)], mask[i, : len(target)] = torch.tensor(target), 1
        rates = {r.fps for r in requests}
        if len(rates) > 1:
            raise UserError(
                f"clips of one batch are sampled at {' and '.join(f'{x:.3g}' for x in sorted(rates))} frames a second.",
                "Set micro_batch to 1, or raise media.max_frames so that no clip needs a lower rate.",
            )
        batch = self.omni.batch(requests, ids, mask)
        labels = torch.full_like(batch["input_ids"], IGNORED)
        labels[:, -longest:] = torch.where(mask.bool(), ids, torch.tensor(IGNORED)).to(labels)
        return batch | {"labels": labels}


class OmniSftTrainer(ThinkerCheckpoints, SFTTrainer):  # type: ignore[misc]
    """SFTTrainer on batches of :class:`OmniCollator`."""

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["row", "target"]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """SFT's loss on inputs as the model's own forward takes them."""
        encoded = self.data_collator.omni.engine.family.encoded(bare(model), inputs)
        return super().compute_loss(model, encoded, *args, **kwargs)


def make_trainer(parts: Parts) -> Any:
    """A trainer on one chain of thought per question.

    Raises:
        UserError: no question has such a response, or sizes do not divide evenly.
    """
    recipe = parts.recipe
    spec = recipe.sft
    wanted = f"{'right, ' if spec.only_right else ''}finished response under {spec.setting.upper()}"
    pairs = [(row, pick_target(row, recipe.seed, spec)) for row in parts.rows]
    for row, target in pairs:
        if target is None:
            parts.media.leave_out(row, "no_right_response", f"no {wanted} to train on")
    stored = sft_columns(spec.setting)
    items = [{"row": {k: v for k, v in r.items() if k not in stored}, "target": t} for r, t in pairs if t]
    if not items:
        raise UserError(f"no question in the shards has a {wanted}.", "Label more questions, or set sft otherwise.")
    args = SFTConfig(
        **parts.arguments(),
        gradient_accumulation_steps=parts.passes(recipe.prompts),
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = OmniSftTrainer(
        model=parts.omni.engine.model,
        args=args,
        train_dataset=datasets.Dataset.from_list(items),
        data_collator=OmniCollator(parts.omni, recipe, parts.media, items),
        processing_class=parts.omni.engine.processor.tokenizer,
        peft_config=lora(recipe, parts.omni),
    )
    return parts.finished(trainer)


class Sft(Algorithm):
    """The baseline: no rollouts, no rewards."""

    about = "supervised on one stored chain of thought per question"
    rolls_out = False

    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__(recipe)
        self.columns = sft_columns(recipe.sft.setting)

    def loss(self, batch: Completions) -> torch.Tensor:
        """Not used: the Trainer's own is cross-entropy on the targets."""
        raise TypeError("SFT does not sample completions")

    def make_trainer(self, parts: Parts) -> Any:
        """A supervised trainer."""
        return make_trainer(parts)
