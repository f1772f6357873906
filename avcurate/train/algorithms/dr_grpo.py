"""Dr. GRPO (arXiv 2503.20783): GRPO without the two divisions that favour long wrong completions and easy questions."""

from __future__ import annotations

from torch import Tensor

from avcurate.train.algorithm import Algorithm, Completions
from avcurate.train.core.objective import group_centred, total_loss


class DrGrpo(Algorithm):
    """Advantages are not divided by the group's deviation, nor losses by the completion's length."""

    about = "GRPO without length and deviation normalisation (Dr. GRPO)"

    def advantages(self, rewards: Tensor) -> Tensor:
        """r - mean inside each group, (B,)."""
        return group_centred(rewards, self.recipe.group)

    def loss(self, batch: Completions) -> Tensor:
        """Sum over tokens, divided by ``max_tokens``, mean over completions."""
        policy = (self.surrogate(batch) * batch.mask).sum(-1).mean() / self.recipe.max_tokens
        return total_loss(policy, batch.kl, batch.kl.new_zeros(()), beta=self.recipe.beta, eta=0.0)
