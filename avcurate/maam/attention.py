"""The mask in the form a model's attention takes, sdpa or flex; refused where it would be silently wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from avcurate.errors import UserError
from avcurate.maam.mask import Scope, Traces, maam

# the second of each is avcurate.attention's own function, which calls the first
SDPA = frozenset({"sdpa", "avcurate"})
FLEX = frozenset({"flex_attention", "avcurate_flex"})


def refuse_attention(implementation: str) -> None:
    """Refuse attention that would ignore the mask or read it as numbers.

    Raises:
        UserError: eager attention adds a boolean mask to its scores; flash attention takes no such mask.
    """
    if implementation not in SDPA | FLEX:
        raise UserError(
            f"MAAM needs sdpa or flex attention, not {implementation!r}: eager attention would add a boolean mask to "
            "its scores, and flash attention takes no mask at all, both without an error.",
            'Load the model with attn_implementation="sdpa".',
        )


def batch_mask(tokens: Tensor, audio: Tensor, video: Tensor, traces: Sequence[Traces], scope: Scope) -> Tensor:
    """The masks of a padded batch.

    Args:
        tokens: (B, L), 1 on tokens, 0 on padding; audio, video: bool (B, L), the modality's own tokens.
        traces: spans of each response, in padded positions.

    Returns:
        bool (B, 1, L, L). Padding is attended to only by itself, so that no row of the softmax is empty.
    """
    length = tokens.shape[1]
    real = tokens.bool()
    rows = [
        maam(length, spans, audio[i], video[i], scope=scope) & real[i][None, :] & real[i][:, None]
        for i, spans in enumerate(traces)
    ]
    diagonal = torch.eye(length, dtype=torch.bool, device=tokens.device)
    return (torch.stack(rows) | (diagonal[None] & ~real[:, :, None]))[:, None]


def for_model(allowed: Tensor, implementation: str) -> Any:
    """The value for ``attention_mask``: the boolean mask for sdpa, a ``BlockMask`` for flex.

    The model then needs explicit ``position_ids``: it cannot infer padding from such a mask.

    Raises:
        UserError: see :func:`refuse_attention`.
    """
    refuse_attention(implementation)
    if implementation not in FLEX:
        return allowed
    from torch.nn.attention.flex_attention import create_block_mask

    def may_attend(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return allowed[batch, 0, query, key]

    return create_block_mask(
        may_attend, allowed.shape[0], None, allowed.shape[2], allowed.shape[3], device=str(allowed.device)
    )
