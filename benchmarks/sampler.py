"""One step of sampling 64 rows of 152,064 logits (Qwen-Omni's vocabulary), on the CPU and in one process.

Against a generator of its own for each row, which is how a response comes to depend on its seed alone without
counter-based noise: mask, softmax and one draw, row by row.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from avcurate.engines.base import Sampling
from avcurate.engines.sampling import SeededSampler
from benchmarks.harness import compare

ROWS, VOCABULARY, TOP = 64, 152_064, 20


def by_row(logits: Tensor, generators: list[torch.Generator], top: int) -> list[int]:
    """A token for each row."""
    drawn = []
    for row, generator in zip(logits, generators, strict=True):
        if top:
            least = row.topk(top).values[-1]
            row = row.masked_fill(row < least, float("-inf"))
        drawn.append(int(torch.multinomial(row.softmax(-1), 1, generator=generator)))
    return drawn


def main() -> None:
    """Print both ratios."""
    torch.manual_seed(0)
    logits = torch.randn(ROWS, VOCABULARY)
    for top in (TOP, 0):
        sampler = SeededSampler(list(range(ROWS)), Sampling(top_k=top), [5, 6], "cpu")
        generators = [torch.Generator().manual_seed(i) for i in range(ROWS)]
        what = f"top-k {top}" if top else "full vocabulary"
        compare(
            f"sampler, {what}: a generator for each row / ours",
            partial(sampler.draw, logits),
            partial(by_row, logits, generators, top),
        )


if __name__ == "__main__":
    main()
