"""Token-by-token decoding from a prefilled prompt: responses leave the batch as they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from avcurate.attention.plan import Plan
from avcurate.engines.sampling import SeededSampler
from avcurate.maam.decoding import MaskRows


class Branch:
    """A model's pass along responses that are being written.

    Args:
        model: called with one token per row and the cache.
        cache: of R prompts; mask: (R, L); position: (R,), the next one.
        axes: axes of a position; 0 where it is one number.
        plan: follows the responses.
    """

    def __init__(
        self, model: Any, cache: Any, mask: Tensor, position: Tensor, axes: int = 0, plan: Plan | None = None
    ) -> None:
        self.model, self.cache, self.axes, self.plan = model, cache, axes, plan
        self.mask, self.position = mask, position

    def keep(self, index: Tensor) -> None:
        """Go on with these rows only."""
        self.cache.batch_select_indices(index)
        self.mask, self.position = self.mask[index], self.position[index]
        if self.plan is not None:
            self.plan.select(index)

    def step(self, tokens: Tensor, reads: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Logits (R, V) after one more token per row, (R,); ``reads`` turns the mask into what the token reads."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], 1)
        if self.plan is not None:
            self.plan.grow()
        position = self.position
        out = self.model(
            input_ids=tokens[:, None],
            attention_mask=self.mask if reads is None else reads(self.mask),
            position_ids=position[None, :, None].expand(self.axes, -1, 1) if self.axes else position[:, None],
            past_key_values=self.cache,
            use_cache=True,
            **({} if self.plan is None else {"plan": self.plan}),
        )
        self.position = position + 1
        logits: Tensor = out.logits[:, -1]
        return logits


class Guide(ABC):
    """Further passes along the same responses.

    Args:
        branches: the model, cache and plan of each; logits: of each (R, V) after its prompts.
    """

    def __init__(self, branches: Sequence[Branch], logits: Sequence[Tensor]) -> None:
        self.branches, self.logits = list(branches), list(logits)

    @abstractmethod
    def combined(self, logits: Tensor) -> Tensor:
        """The logits (R, V) that tokens are drawn from, given those of the first pass."""

    def keep(self, index: Tensor) -> None:
        """Go on with these rows only."""
        for branch in self.branches:
            branch.keep(index)
        self.logits = [x[index] for x in self.logits]

    def step(self, tokens: Tensor) -> None:
        """Take one more token per row."""
        self.logits = [branch.step(tokens) for branch in self.branches]


def decode_responses(
    model: Any,
    start: tuple[Any, Tensor, Tensor, Tensor],
    sampler: SeededSampler,
    ends: set[int],
    *,
    axes: int = 0,
    rows: MaskRows | None = None,
    plan: Plan | None = None,
    guide: Guide | None = None,
    watch: Callable[[list[int], Tensor], None] | None = None,
    inference: bool = True,
) -> list[list[int]]:
    """Token ids of R responses, the end token included if it was drawn.

    Args:
        model: called with one token per row and the cache.
        start: the cache of R prompts, their last logits (R, V), attention mask (R, L) and next positions (R,).
        sampler: draws a token for each row; its ``max_tokens`` limits the response.
        ends: ids that end a response.
        axes: axes of a position (3 for time, height and width); 0 where a position is one number.
        rows: which keys each new token reads (MAAM); ``None``: all of them.
        plan: cuts and edits that the prompts were read under; follows the responses as they end.
        guide: further passes whose logits change ours before a token is drawn.
        watch: is given the rows that are still written and their logits (rows, V), before each token is drawn.
        inference: whether tensors may be made that no later training can update; faster.
    """
    cache, logits, mask, position = start
    ours = Branch(model, cache, mask, position, axes, plan)
    device, longest = mask.device, sampler.sampling.max_tokens
    written: list[list[int]] = [[] for _ in range(len(logits))]
    live = list(range(len(logits)))
    with torch.inference_mode() if inference else torch.no_grad():
        for step in range(longest):
            guided = logits if guide is None else guide.combined(logits)
            if watch is not None:
                watch(live, guided)
            tokens = sampler.draw(guided)
            drawn = tokens.tolist()
            for row, token in zip(live, drawn, strict=True):
                written[row].append(token)
            stay = [i for i, t in enumerate(drawn) if t not in ends]
            if not stay or step + 1 == longest:
                break
            if len(stay) < len(live):
                index = torch.tensor(stay, device=device)
                tokens = tokens[index]
                sampler.keep(index)
                ours.keep(index)
                if guide is not None:
                    guide.keep(index)
                live, drawn = [live[i] for i in stay], [drawn[i] for i in stay]
            logits = ours.step(tokens, None if rows is None else partial(rows.row, live, drawn))
            if guide is not None:
                guide.step(tokens)
    return written
