"""GSPO (Group Sequence Policy Optimization, arXiv 2507.18071): ratios and clipping of whole completions."""

from __future__ import annotations

from torch import Tensor

from avcurate.train.algorithm import Algorithm, Completions
from avcurate.train.core.objective import clipped_share, clipped_surrogate, sequence_ratio, total_loss


class Gspo(Algorithm):
    """The ratio is the geometric mean over a completion's tokens; made for mixtures of experts.

    There the experts that a token is sent to change with every update, and single tokens' ratios with them.
    """

    about = "GRPO with the ratio of whole completions, for mixtures of experts (GSPO)"
    clips = (3e-4, 4e-4)

    def loss(self, batch: Completions) -> Tensor:
        """Eq. 5, plus the KL term."""
        low, high = self.clip
        ratio = sequence_ratio(batch.logp, batch.old, batch.mask)
        some = (batch.mask.sum(-1, keepdim=True) > 0).to(ratio)
        batch.record("clip/share", clipped_share(ratio, batch.advantages, some, low=low, high=high))
        # importance of the completion, as its ratio: a geometric mean
        importance = sequence_ratio(batch.importance.log(), batch.importance.new_zeros(()), batch.mask)
        policy = (importance * some * clipped_surrogate(ratio, batch.advantages, low=low, high=high)).mean()
        return total_loss(policy, batch.kl, batch.kl.new_zeros(()), beta=self.recipe.beta, eta=0.0)
