"""Sampling whose randomness belongs to the response: seeded per row, whatever shares its batch.

The noise of each response comes from its own generator, so results do not depend on batching or
order, up to the last bits of the logits themselves, which batched kernels may round differently.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avcurate.engines.base import Sampling


class SeededSampler:
    """Draws one token per row and step by the Gumbel-max trick.

    Args:
        seeds: one per row, in [0, 2**63).
        sampling: decoding values; temperature 0 is greedy.
        banned: token ids that are never drawn (media placeholders).
    """

    def __init__(self, seeds: list[int], sampling: Sampling, banned: list[int]) -> None:
        self.sampling = sampling
        self.banned = torch.tensor(banned, dtype=torch.long)
        self.generators = [torch.Generator().manual_seed(s) for s in seeds]

    def keep(self, rows: list[int]) -> None:
        """Continue with these rows only, in this order."""
        self.generators = [self.generators[i] for i in rows]

    def draw(self, logits: Tensor) -> Tensor:
        """Token ids (R,) from logits (R, vocabulary)."""
        scores = logits.float().cpu()
        scores[:, self.banned] = -torch.inf
        if self.sampling.temperature == 0:
            return scores.argmax(-1)
        scores = self._truncate(scores / self.sampling.temperature)
        noise = torch.stack([torch.rand(scores.shape[1], generator=g) for g in self.generators])
        return (scores - torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7)))).argmax(-1)

    def _truncate(self, scores: Tensor) -> Tensor:
        if self.sampling.top_k > 0:
            lowest_kept = scores.topk(min(self.sampling.top_k, scores.shape[1])).values[:, -1:]
            scores = scores.masked_fill(scores < lowest_kept, -torch.inf)
        if self.sampling.top_p < 1:
            ordered, index = scores.sort(descending=True)
            before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            dropped = (before >= self.sampling.top_p).scatter(1, index, before >= self.sampling.top_p)
            scores = scores.masked_fill(dropped, -torch.inf)
        return scores
