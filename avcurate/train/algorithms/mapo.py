"""MAPO (§2, Algorithm 1): tokens weighted by modality relevance, with an attention loss on the less relevant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from avcurate.train.algorithm import Algorithm, Completions
from avcurate.train.core.objective import AttentionLoss, attention_loss, reweighted_policy_loss, total_loss
from avcurate.train.core.relevance import differential_entropy, entropy, inverse_relevance, relevance_mask
from avcurate.train.recipe import TrainRecipe
from avcurate.train.speech import gate_of, pattern_tagger


class Mapo(Algorithm):
    """The relevance mask over GRPO's surrogate, plus the attention loss (Eq. 2, 4 and 5)."""

    about = "GRPO weighted by modality relevance, with an attention loss (MAPO)"
    reads_reference = True

    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__(recipe)
        self._tagger = pattern_tagger() if recipe.mapo.gate == "pos" else None

    def gate(
        self, written: list[list[int]], decode: Callable[[Sequence[int]], str], record: Callable[[str, Tensor], None]
    ) -> list[list[float]] | None:
        """Content words only, by part of speech."""
        if self._tagger is None:
            return None
        gates = [gate_of(ids, decode, self._tagger) for ids in written]
        chosen = [[float(x) for x in g.tokens] for g in gates]
        record("gate/share", torch.tensor(sum(map(sum, chosen)) / sum(map(len, written))))
        record("gate/fallback", torch.tensor(sum(g.fallback for g in gates) / len(gates)))
        return chosen

    def loss(self, batch: Completions) -> Tensor:
        """Algorithm 1, line 11."""
        recipe, mapo, mask = self.recipe, self.recipe.mapo, batch.mask
        warmth = mapo.entropy_temperature
        text_only = batch.entropy_without(mapo.modality, warmth)
        delta = differential_entropy(text_only, entropy(batch.logits.detach(), warmth), mask)
        omega = relevance_mask(delta, mask, base=mapo.base, cap=mapo.cap) if mapo.mask == "relevance" else mask
        inverse = inverse_relevance(delta, mask, batch.gate, base=mapo.base, cap=mapo.cap)
        settings = AttentionLoss(
            mapo.exponent,
            mapo.floor,
            mapo.fail_at,
            mapo.prefactor_cap,
            advantage_floor=mapo.advantage_floor,
            eps=mapo.log_eps,
        )
        attention = attention_loss(batch.mass, inverse, mask, batch.gate, batch.advantages, batch.accuracy, settings)
        batch.record("delta_h/mean_abs", delta.abs()[mask.bool()].mean())
        batch.record("omega/max", omega[mask.bool()].max())
        batch.record("loss/attention", attention)
        policy = reweighted_policy_loss(self.surrogate(batch), omega, mask)
        return total_loss(policy, batch.kl, attention, beta=recipe.beta, eta=mapo.eta)
