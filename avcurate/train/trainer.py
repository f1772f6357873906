"""Rollouts, rewards and an algorithm's loss on omni thinkers: a thin subclass of TRL's GRPOTrainer.

TRL's own rollouts and losses handle images only: with an audio prompt its rollout hears and its loss is silently deaf.
So both are replaced here, by :mod:`avcurate.train.omni` and :mod:`avcurate.train.core`; the loop, the group sampler,
checkpoints, resume, logging, accelerate and LoRA are TRL's. Written against TRL 1.16.
"""

from __future__ import annotations

import copy
import itertools
from contextlib import nullcontext
from typing import Any

import torch
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer

from avcurate.engines.base import Request, Sampling
from avcurate.errors import UserError
from avcurate.families.tokens import Modality
from avcurate.maam.traces import MASKED, masked_as
from avcurate.media.decode import DecodedClip
from avcurate.prompts import get_prompt
from avcurate.seeds import derive_seed
from avcurate.train import processes
from avcurate.train.algorithm import Algorithm, Completions
from avcurate.train.core.objective import importance_weights, kl_k3
from avcurate.train.media import Rows
from avcurate.train.omni import Omni, log_probabilities
from avcurate.train.recipe import TrainRecipe
from avcurate.train.resume import ThinkerCheckpoints
from avcurate.train.scoring import Scorer
from avcurate.train.served import ServedRollouts
from avcurate.train.sharding import is_sharded, shard_by_layer, weights_of, whole

QUARTERS = 4


class OmniTrainer(ThinkerCheckpoints, GRPOTrainer):  # type: ignore[misc]
    """Trains on rows of shards.

    Args:
        omni: the model that is trained.
        recipe: sizes, sampling, the watched modality.
        rows: reads the rows' media.
        algorithm: advantages and loss.
        scorer: rewards of rollouts.
        served: a vLLM server that samples the rollouts; without it the trained model does.
        args: TRL's arguments; its ``beta`` stays 0, the KL term is computed here.
        kwargs: for ``GRPOTrainer``; the dataset has a column ``row`` with a shard's row.
    """

    def __init__(
        self,
        omni: Omni,
        recipe: TrainRecipe,
        rows: Rows,
        args: GRPOConfig,
        algorithm: Algorithm,
        scorer: Scorer,
        served: ServedRollouts | None = None,
        **kwargs: Any,
    ) -> None:
        self.omni, self.recipe, self.rows, self._scorer, self._served = omni, recipe, rows, scorer, served
        self._algorithm = algorithm
        self._held: dict[int, Request] = {}
        self._idle = False
        # before TRL's __init__: it may replace the model's forward, which a copy would share
        self._reference = self._frozen_copy()
        super().__init__(model=omni.engine.model, reward_funcs=[_rewarded_here], args=args, **kwargs)
        if self._reference is not None and self.is_fsdp_enabled:
            shard_by_layer(self._reference)
            self._reference = fsdp2_prepare_model(self.accelerator, self._reference)

    def _frozen_copy(self) -> Any:
        """The reference, a copy of the initial model; ``None`` if unused, or if LoRA's base is the reference."""
        if self.recipe.beta == 0 and not self._algorithm.reads_reference:
            return None
        if self.recipe.lora_rank:
            return None
        reference = copy.deepcopy(self.omni.engine.model).eval().requires_grad_(False)
        return in_format(reference, self.recipe.reference)

    def _base(self) -> Any:
        """A context in which the reference runs, and the reference."""
        if self._reference is not None:
            return nullcontext(), self._reference
        bare = self.accelerator.unwrap_model(self.model)
        return bare.disable_adapter(), bare

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["prompt", "row"]

    def _readable(self, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Request]]:
        """The step's questions and their requests; one whose clip cannot be read is replaced by another."""
        readable = list(self.rows.readable({"row": row} for row in rows))
        self._record("media/unreadable", torch.tensor(1 - len(readable) / len(rows)))
        readable = readable or list(itertools.islice(self.rows.readable(self.train_dataset), 1))
        if not readable:
            raise UserError("none of the shards' clips can be read.", "See dead.jsonl next to the log; check --media.")
        readable = [readable[i % len(readable)] for i in range(len(rows))]
        return [item["row"] for item, _ in readable], [self._request(item["row"], clip) for item, clip in readable]

    def _request(self, row: dict[str, Any], clip: DecodedClip) -> Request:
        recipe = self.recipe
        return Request(
            key=row["question_id"],
            prompt=get_prompt(recipe.prompt).render(row["question"], row["choices"]),
            audio=clip.audio,
            frames=clip.frames,
            fps=clip.fps,
            n=recipe.group,
            seed=derive_seed(recipe.seed, "rollout", self.state.global_step, row["question_id"]),
            sampling=Sampling(recipe.temperature, recipe.top_p, recipe.top_k, recipe.max_tokens),
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Rollouts of a step's questions, their rewards and advantages; groups are adjacent."""
        rows = [item["row"] for item in inputs[:: self.recipe.group]]
        self.rows.ahead(rows)
        rows, requests = self._readable(rows)
        written, chances = self._rollouts(requests)
        device = self.accelerator.device
        longest = max(map(len, written))
        ids = torch.zeros(len(written), longest, dtype=torch.long)
        mask = torch.zeros(len(written), longest)
        for i, completion in enumerate(written):
            ids[i, : len(completion)] = torch.tensor(completion)
            mask[i, : len(completion)] = 1
        texts = [self.omni.decode(completion) for completion in written]
        rewards, accuracy = self._score([r for r in rows for _ in range(self.recipe.group)], texts, mask)
        owner = torch.arange(len(written)) // self.recipe.group
        self._held = dict(enumerate(requests))
        gate = mask.clone()
        chosen = self._algorithm.gate(written, self.omni.decode, self._record)
        for i, tokens in enumerate(chosen or ()):
            gate[i, : len(tokens)] = torch.tensor(tokens, dtype=gate.dtype)
        batch = {
            "gate": gate,
            "slot": owner,
            "completion_ids": ids,
            "completion_mask": mask,
            "advantages": self._algorithm.advantages(rewards),
            "accuracy": accuracy,
            "mean_length": torch.full((len(written),), processes.mean(mask.sum(1).tolist())),
        }
        if chances is not None:
            sampled = torch.zeros_like(mask)
            for i, values in enumerate(chances):
                sampled[i, : len(values)] = torch.tensor(values)
            batch["sampled"] = sampled
        if self.recipe.updates > 1:
            batch["old"] = self._sampled_under(requests, owner, ids, mask)
        return {k: v.to(device) for k, v in batch.items()}

    def _sampled_under(self, requests: list[Request], owner: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Log-probabilities (B, T) of the completions under the policy as it is now, before the first update."""
        old = torch.zeros_like(mask)
        alike: dict[float, list[int]] = {}
        for i, slot in enumerate(owner.tolist()):
            alike.setdefault(requests[slot].fps, []).append(i)
        size = self.recipe.micro_batch
        # gathered once: how many passes there are depends on this process's clips
        with torch.no_grad(), whole(self.model):
            for rows in (group[a : a + size] for group in alike.values() for a in range(0, len(group), size)):
                longest = int(mask[rows].sum(1).max())
                some, on = (x[rows, :longest].to(self.accelerator.device) for x in (ids, mask))
                logits, _ = self.omni.forward(self.model, [requests[owner[i]] for i in rows], some, on)
                old[rows, :longest] = log_probabilities(logits, some, self.recipe.temperature).cpu()
        return old

    def _rollouts(self, requests: list[Request]) -> tuple[list[list[int]], list[list[float]] | None]:
        """Token ids, and the log-probabilities that another engine drew them with."""
        if self._served is None:
            # DDP's wrapper would send buffers at every token; FSDP's must be called for its inner modules to run
            with whole(self.model) as model:
                return self.omni.rollouts(requests, model if is_sharded(model) else None), None
        weights = weights_of(self.model)
        if processes.is_first():
            bare = self.accelerator.unwrap_model(self.model)
            self._served.load(bare, self.omni.engine.processor, weights)
        processes.wait()
        written, chances = self._served.rollouts(requests, self.omni.prompts(requests))
        return written, chances if self.recipe.importance_cap else None

    def _score(self, rows: list[dict[str, Any]], texts: list[str], mask: Tensor) -> tuple[Tensor, Tensor]:
        scored = self._scorer(rows, texts)
        rewards = torch.tensor(scored.total)
        for name, values in {**scored.parts, "total": scored.total}.items():
            self._record(f"reward/{name}", torch.tensor(values).mean())
        for name, unread in scored.unread.items():
            self._record(f"reward/{name}_unread", torch.tensor(unread / len(texts)))
        if self.recipe.maam:
            kinds = [masked_as(text) for text in texts]
            for kind in MASKED:
                self._record(f"maam/{kind}", torch.tensor(kinds.count(kind) / len(texts)))
        same = rewards.view(-1, self.recipe.group).std(1) == 0
        self._record("reward/groups_alike", same.float().mean())
        self._record("completion/length", mask.sum(1).mean())
        return rewards, torch.tensor(scored.parts["accuracy"])

    def _record(self, name: str, value: Tensor) -> None:
        """Record a value of this process; processes meet in :meth:`log`, since not all of them record alike."""
        if not self._idle:
            self._metrics[self._mode][name].append(float(value.detach().mean()))

    @property
    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """TRL's, on means over all processes."""
        gathered = processes.means(self._metrics[self._mode])
        self._metrics[self._mode].clear()
        self._metrics[self._mode].update(gathered)
        super().log(logs, *args, **kwargs)

    def _compute_loss(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """The objective on one micro-batch; completions of different frame rates go through the model separately."""
        slots = inputs["slot"].tolist()
        rates = sorted({self._held[s].fps for s in slots})
        # before the first pass: a wrapped model's passes are collective too
        turns = processes.most(len(rates))
        losses = []
        for rate in rates:
            rows = [i for i, s in enumerate(slots) if self._held[s].fps == rate]
            part = {k: v[rows] for k, v in inputs.items()}
            requests = [self._held[s] for s in part["slot"].tolist()]
            losses.append(self._loss(model, requests, part) * len(rows) / len(slots))
        # a process whose clips have fewer rates must call the wrapped model as often as the others
        self._idle = True
        for _ in range(turns - len(rates)):
            part = {k: v[:1] for k, v in inputs.items()}
            losses.append(self._loss(model, [self._held[slots[0]]], part) * 0)
        self._idle = False
        # under TRL the Trainer leaves division by accumulated passes to the loss
        passes = self.current_gradient_accumulation_steps if self.model.training else 1
        return torch.stack(losses).sum() / passes

    def _loss(self, model: Any, requests: list[Request], part: dict[str, Tensor]) -> Tensor:
        recipe, mapo = self.recipe, self.recipe.mapo
        ids, mask = part["completion_ids"], part["completion_mask"]
        longest = int(mask.sum(1).max())
        ids, mask, gate = ids[:, :longest], mask[:, :longest], part["gate"][:, :longest]
        last = self.omni.decoder_layers
        layers = frozenset(range(max(0, last - mapo.layers), last))
        logits, mass = self.omni.forward(model, requests, ids, mask, (mapo.modality, layers))
        self._watch_mass(mass.detach(), mask)
        logp = log_probabilities(logits, ids, recipe.temperature)
        kl = logp.new_zeros(())
        if recipe.beta:
            context, reference = self._base()
            with torch.no_grad(), context:
                reference_logp = log_probabilities(
                    self.omni.forward(reference, requests, ids, mask)[0], ids, recipe.temperature
                )
            kl = kl_k3(logp, reference_logp, mask)
            self._record("kl", kl)

        def entropy_without(modality: Modality, temperature: float = 1.0) -> Tensor:
            context, reference = self._base()
            with context:
                return self.omni.entropy_without(reference, requests, ids, mask, modality, temperature)

        # with one step per rollout the old policy is the current one
        old = part["old"][:, :longest] if "old" in part else logp.detach()
        importance = torch.ones_like(mask)
        if "sampled" in part:
            sampled = part["sampled"][:, :longest]
            importance = importance_weights(old, sampled, mask, recipe.importance_cap)
            self._record("rollout/importance", importance[mask.bool()].mean())
            self._record("rollout/kl", (sampled - old)[mask.bool()].mean())
        completions = Completions(
            ids=ids,
            mask=mask,
            logp=logp,
            old=old,
            importance=importance,
            logits=logits,
            mass=mass,
            advantages=part["advantages"],
            accuracy=part["accuracy"],
            gate=gate,
            mean_length=float(part["mean_length"][0]),
            kl=kl,
            entropy_without=entropy_without,
            record=self._record,
        )
        return self._algorithm.loss(completions)

    def _watch_mass(self, mass: Tensor, mask: Tensor) -> None:
        """Attention mass by quarter of the completion."""
        tokens = mask.bool()
        quarter_of = (
            torch.arange(mask.shape[1], device=mask.device)[None] / mask.sum(1, keepdim=True) * QUARTERS
        ).floor()
        for quarter in range(QUARTERS):
            in_quarter = tokens & (quarter_of == quarter)
            if in_quarter.any():
                self._record(f"mass/quarter_{quarter + 1}", mass[in_quarter].mean())


def in_format(model: Any, name: str) -> Any:
    """The model with its weights in a number format, and its buffers as they were.

    Rotary frequencies in bfloat16 would turn by a wrong angle, the more the later the token.
    """
    for weight in model.parameters():
        weight.data = weight.data.to(getattr(torch, name))
    return model


def _rewarded_here(**_: Any) -> list[float]:
    """TRL requires a reward function; rewards are computed with the rollouts, so it is never called."""
    raise RuntimeError("TRL called its own reward function: this trainer is written against another version of TRL.")
