"""GRPO and MAPO on omni thinkers: a thin subclass of TRL's GRPOTrainer.

TRL's own rollouts and losses know images only: with an audio prompt its rollout hears and its loss is deaf, without an
error. So both are replaced here, by :mod:`avcurate.train.omni` and :mod:`avcurate.train.core`; the loop, the sampler of
groups, checkpoints, resume, logging, accelerate and LoRA are TRL's. Written against TRL 1.16.
"""

from __future__ import annotations

import copy
import itertools
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer

from avcurate.engines.base import Request, Sampling
from avcurate.errors import UserError
from avcurate.maam.traces import malformed
from avcurate.media.decode import DecodedClip
from avcurate.prompts import get_prompt
from avcurate.seeds import derive_seed
from avcurate.train.core.objective import (
    AttentionLoss,
    attention_loss,
    clipped_surrogate,
    group_advantages,
    kl_k3,
    reweighted_policy_loss,
    total_loss,
)
from avcurate.train.core.relevance import differential_entropy, entropy, inverse_relevance, relevance_mask
from avcurate.train.media import Rows
from avcurate.train.omni import Omni, log_probabilities
from avcurate.train.recipe import TrainRecipe
from avcurate.train.resume import ThinkerCheckpoints
from avcurate.train.scoring import Scorer
from avcurate.train.served import ServedRollouts
from avcurate.train.speech import gate_of, pattern_tagger

QUARTERS = 4


class OmniTrainer(ThinkerCheckpoints, GRPOTrainer):  # type: ignore[misc]
    """Trains on rows of shards.

    Args:
        omni: the model that is trained.
        recipe: objective and rewards.
        rows: reads the rows' media.
        scorer: rewards of rollouts.
        served: a vLLM server that samples the rollouts; without it the trained model does.
        args: TRL's arguments; its ``beta`` stays 0, the KL term is reckoned here.
        kwargs: for ``GRPOTrainer``; the dataset has a column ``row`` with a shard's row.
    """

    def __init__(
        self,
        omni: Omni,
        recipe: TrainRecipe,
        rows: Rows,
        args: GRPOConfig,
        scorer: Scorer,
        served: ServedRollouts | None = None,
        **kwargs: Any,
    ) -> None:
        self.omni, self.recipe, self.rows, self._scorer, self._served = omni, recipe, rows, scorer, served
        self._held: dict[int, Request] = {}
        gated = recipe.algo == "mapo" and recipe.mapo.gate == "pos"
        self._tagger = pattern_tagger() if gated else None
        # before TRL's: it may put a forward of its own on the model, which a copy would share
        self._reference = self._frozen_copy()
        super().__init__(model=omni.engine.model, reward_funcs=[_rewarded_here], args=args, **kwargs)

    def _frozen_copy(self) -> Any:
        """What the policy is held to, and what reads without the modality: the model as it was, or LoRA's base."""
        if self.recipe.beta == 0 and self.recipe.algo == "grpo":
            return None
        if self.recipe.lora_rank:
            return None
        return copy.deepcopy(self.omni.engine.model).eval().requires_grad_(False)

    def _base(self) -> Any:
        """A context in which the reference answers, and the reference."""
        if self._reference is not None:
            return nullcontext(), self._reference
        bare = self.accelerator.unwrap_model(self.model)
        return bare.disable_adapter(), bare

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["prompt", "row"]

    def _readable(self, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Request]]:
        """The step's questions and their requests; one whose clip cannot be read gives its place to another."""
        told = list(self.rows.readable({"row": row} for row in rows))
        self._record("media/unreadable", torch.tensor(1 - len(told) / len(rows)))
        told = told or list(itertools.islice(self.rows.readable(self.train_dataset), 1))
        if not told:
            raise UserError("no clip of the shards can be read.", "See dead.jsonl beside the log, and --media.")
        told = [told[i % len(told)] for i in range(len(rows))]
        return [item["row"] for item, _ in told], [self._request(item["row"], clip) for item, clip in told]

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
        """Rollouts of a step's questions, their rewards and advantages; groups lie next to each other."""
        rows = [item["row"] for item in inputs[:: self.recipe.group]]
        self.rows.ahead(rows)
        rows, requests = self._readable(rows)
        written = self._rollouts(requests)
        device = self.accelerator.device
        longest = max(map(len, written))
        ids = torch.zeros(len(written), longest, dtype=torch.long)
        mask = torch.zeros(len(written), longest)
        for i, one in enumerate(written):
            ids[i, : len(one)] = torch.tensor(one)
            mask[i, : len(one)] = 1
        texts = [self.omni.decode(one) for one in written]
        rewards, accuracy = self._score([r for r in rows for _ in range(self.recipe.group)], texts, mask)
        owner = torch.arange(len(written)) // self.recipe.group
        self._held = dict(enumerate(requests))
        gate = mask.clone()
        if self._tagger is not None:
            gates = [gate_of(one, self.omni.decode, self._tagger) for one in written]
            for i, found in enumerate(gates):
                gate[i, : len(found.tokens)] = torch.tensor(found.tokens, dtype=gate.dtype)
            self._record("gate/share", gate.sum() / mask.sum())
            self._record("gate/fallback", torch.tensor(sum(g.fallback for g in gates) / len(gates)))
        batch = {
            "gate": gate,
            "slot": owner,
            "completion_ids": ids,
            "completion_mask": mask,
            "advantages": group_advantages(rewards, self.recipe.group),
            "accuracy": accuracy,
        }
        return {k: v.to(device) for k, v in batch.items()}

    def _rollouts(self, requests: list[Request]) -> list[list[int]]:
        if self._served is None:
            return self.omni.rollouts(requests)
        self._served.load(self.accelerator.unwrap_model(self.model), self.omni.engine.processor)
        return self._served.rollouts(requests, self.omni.prompts(requests))

    def _score(self, rows: list[dict[str, Any]], texts: list[str], mask: Tensor) -> tuple[Tensor, Tensor]:
        scored = self._scorer(rows, texts)
        rewards = torch.tensor(scored.total)
        for name, values in {**scored.parts, "total": scored.total}.items():
            self._record(f"reward/{name}", torch.tensor(values).mean())
        if "consistency" in scored.parts:
            self._record("reward/consistency_unread", torch.tensor(scored.unread / len(texts)))
        if self.recipe.maam:
            self._record("maam/malformed", torch.tensor(sum(map(bool, map(malformed, texts))) / len(texts)))
        same = rewards.view(-1, self.recipe.group).std(1) == 0
        self._record("reward/groups_alike", same.float().mean())
        self._record("completion/length", mask.sum(1).mean())
        return rewards, torch.tensor(scored.parts["accuracy"])

    def _record(self, name: str, value: Tensor) -> None:
        mode = "train" if self.model.training else "eval"
        self._metrics[mode][name].append(
            float(self.accelerator.gather(value.detach().to(self.accelerator.device)).mean())
        )

    def _compute_loss(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        """The objective on one micro-batch; completions of other frame rates go through the model apart."""
        slots = inputs["slot"].tolist()
        rates = sorted({self._held[s].fps for s in slots})
        losses = []
        for rate in rates:
            rows = [i for i, s in enumerate(slots) if self._held[s].fps == rate]
            part = {k: v[rows] for k, v in inputs.items()}
            requests = [self._held[s] for s in part["slot"].tolist()]
            losses.append(self._loss(model, requests, part) * len(rows) / len(slots))
        # TRL has the Trainer leave the division by accumulated passes to the loss
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
        # one step on each rollout: the old policy is this one
        surrogate = clipped_surrogate(
            (logp - logp.detach()).exp(), part["advantages"], low=recipe.clip, high=recipe.clip
        )
        kl = logp.new_zeros(())
        if recipe.beta:
            context, reference = self._base()
            with torch.no_grad(), context:
                other = log_probabilities(self.omni.forward(reference, requests, ids, mask)[0], ids, recipe.temperature)
            kl = kl_k3(logp, other, mask)
            self._record("kl", kl)
        if recipe.algo == "grpo":
            policy = reweighted_policy_loss(surrogate, torch.ones_like(mask), mask)
            return total_loss(policy, kl, kl.new_zeros(()), beta=recipe.beta, eta=0.0)
        context, reference = self._base()
        with context:
            text_only = self.omni.entropy_without(reference, requests, ids, mask, mapo.modality)
        delta = differential_entropy(text_only, entropy(logits.detach()), mask)
        omega = relevance_mask(delta, mask, base=mapo.base, cap=mapo.cap)
        inverse = inverse_relevance(delta, mask, gate, base=mapo.base, cap=mapo.cap)
        how = AttentionLoss(mapo.exponent, mapo.floor, mapo.fail_at, mapo.prefactor_cap)
        attention = attention_loss(mass, inverse, mask, gate, part["advantages"], part["accuracy"], how)
        self._record("delta_h/mean_abs", delta.abs()[mask.bool()].mean())
        self._record("omega/max", omega[mask.bool()].max())
        self._record("loss/attention", attention)
        policy = reweighted_policy_loss(surrogate, omega, mask)
        return total_loss(policy, kl, attention, beta=recipe.beta, eta=mapo.eta)

    def _watch_mass(self, mass: Tensor, mask: Tensor) -> None:
        """Attention mass by quarter of the completion."""
        tokens = mask.bool()
        place = (torch.arange(mask.shape[1], device=mask.device)[None] / mask.sum(1, keepdim=True) * QUARTERS).floor()
        for quarter in range(QUARTERS):
            there = tokens & (place == quarter)
            if there.any():
                self._record(f"mass/quarter_{quarter + 1}", mass[there].mean())


def _rewarded_here(**_: Any) -> list[float]:
    """TRL wants a reward function; rewards are reckoned with the rollouts, so it is never called."""
    raise RuntimeError("TRL's own rewards were asked for: this trainer is written against another version of TRL.")
