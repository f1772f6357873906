"""Scores raised or lowered before the softmax: how guided decoders make a model look (PAI; crossmodal-hub Eq. 6-7)."""

from __future__ import annotations

import torch
from torch import Tensor


class Edit:
    """``a += strength * |a|`` on chosen keys; masked entries stay masked.

    Args:
        keys: bool (B, K), True on the keys whose scores change; later keys count as not chosen.
        strength: α; negative lowers scores; 0 changes nothing.
        layers: where it is done; ``None``: in all of them.
        first: queries before this position are left alone.
    """

    def __init__(self, keys: Tensor, strength: float, layers: frozenset[int] | None = None, first: int = 0) -> None:
        self.keys, self.strength, self.layers, self.first = keys, strength, layers, first

    def holds_in(self, layer: int) -> bool:
        """Whether scores change in a layer."""
        return self.strength != 0 and (self.layers is None or layer in self.layers)

    def select(self, rows: Tensor) -> None:
        """Keep these sequences of the batch."""
        self.keys = self.keys[rows]

    def edited(self, scores: Tensor, first: int, gone: int = 0) -> Tensor:
        """Scores (B, heads, rows, K) of queries from position ``first`` on; ``gone`` keys stood before the first."""
        keys, length = self.keys, gone + scores.shape[-1]
        if keys.shape[1] < length:
            keys = torch.nn.functional.pad(keys, (0, length - keys.shape[1]))
        keys = keys[:, gone:length]
        late = torch.arange(first, first + scores.shape[2], device=scores.device) >= self.first
        chosen = keys[:, None, None, :] & late[:, None] & scores.isfinite()
        # inf times a strength of 0 would be nan, so only chosen entries are touched
        return torch.where(chosen, scores + self.strength * scores.abs().nan_to_num(posinf=0.0), scores)
