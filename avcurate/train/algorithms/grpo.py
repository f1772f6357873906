"""GRPO (DeepSeekMath, arXiv 2402.03300), as SFFL trains with it (Eq. 11)."""

from __future__ import annotations

import torch
from torch import Tensor

from avcurate.train.algorithm import Algorithm, Completions
from avcurate.train.core.objective import reweighted_policy_loss, total_loss


class Grpo(Algorithm):
    """Every token of a completion has the same weight."""

    about = "group-relative advantages, all tokens weighted equally"

    def loss(self, batch: Completions) -> Tensor:
        """Clipped surrogate, mean over tokens and completions, plus the KL term."""
        policy = reweighted_policy_loss(self.surrogate(batch), torch.ones_like(batch.mask), batch.mask)
        return total_loss(policy, batch.kl, batch.kl.new_zeros(()), beta=self.recipe.beta, eta=0.0)
