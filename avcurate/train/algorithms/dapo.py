"""DAPO's objective (arXiv 2503.14476): all tokens of a step weigh the same, and ratios may rise further than fall."""

from __future__ import annotations

from torch import Tensor

from avcurate.train.algorithm import Algorithm, Completions
from avcurate.train.core.objective import total_loss


class Dapo(Algorithm):
    """Eq. 8 to 10. Groups that are all right or all wrong are not sampled again; they add nothing, as in GRPO.

    The paper has no KL term (``beta: 0``); its penalty on length is the reward ``length``.
    """

    about = "GRPO with token-level normalisation and a higher upper clip (DAPO, without dynamic sampling)"
    clips = (0.2, 0.28)

    def loss(self, batch: Completions) -> Tensor:
        """Sum over tokens, divided by the tokens of all completions of the step."""
        total = (self.surrogate(batch) * batch.mask).sum()
        policy = total / (len(batch.mask) * batch.mean_length)
        return total_loss(policy, batch.kl, batch.kl.new_zeros(()), beta=self.recipe.beta, eta=0.0)
