"""Token-by-token decoding from a prefilled prompt: responses leave the batch as they end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avcurate.attention.plan import Plan
from avcurate.engines.sampling import SeededSampler
from avcurate.maam.decoding import MaskRows


def decode_responses(
    model: Any,
    start: tuple[Any, Tensor, Tensor, Tensor],
    sampler: SeededSampler,
    ends: set[int],
    *,
    axes: int = 0,
    rows: MaskRows | None = None,
    plan: Plan | None = None,
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
    """
    cache, logits, mask, position = start
    device, longest = mask.device, sampler.sampling.max_tokens
    written: list[list[int]] = [[] for _ in range(len(logits))]
    live = list(range(len(logits)))
    planned = {} if plan is None else {"plan": plan}
    with torch.inference_mode():
        for step in range(longest):
            tokens = sampler.draw(logits)
            drawn = tokens.tolist()
            for row, token in zip(live, drawn, strict=True):
                written[row].append(token)
            stay = [i for i, t in enumerate(drawn) if t not in ends]
            if not stay or step + 1 == longest:
                break
            if len(stay) < len(live):
                index = torch.tensor(stay, device=device)
                cache.batch_select_indices(index)
                mask, position, tokens = mask[index], position[index], tokens[index]
                sampler.keep(index)
                if plan is not None:
                    plan.select(index)
                live, drawn = [live[i] for i in stay], [drawn[i] for i in stay]
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], 1)
            if plan is not None:
                plan.grow()
            read = mask if rows is None else rows.row(live, drawn, mask)
            out = model(
                input_ids=tokens[:, None],
                attention_mask=read,
                position_ids=position[None, :, None].expand(axes, -1, 1) if axes else position[:, None],
                past_key_values=cache,
                use_cache=True,
                **planned,
            )
            logits, position = out.logits[:, -1], position + 1
    return written
