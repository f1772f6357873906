"""How much attention completion tokens pay to a modality, read inside the model's own forward pass.

Through transformers' attention interface: target layers reckon, for the rows of the completion alone, the log-sum-exp
of scores over the modality's keys and over all keys; the mass is exp of their difference (MAPO §3.2). Nothing of size
(L, L) is kept, the mass is differentiable, and the layer's output is that of plain sdpa. Patches no model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from avcurate.errors import UserError

NAME = "avcurate_mass"
ROWS = 64
Reduce = Literal["max", "mean"]


@dataclass
class Capture:
    """What is captured in one forward pass.

    Attributes:
        keys: bool (B, L), the modality's own tokens (placeholders without their marks).
        rows: first row of the completion; the mass is that of rows ``rows``.. to L - 1.
        layers: layers whose mass is averaged.
        reduce: over the heads of a layer; the paper's objective takes the greatest.
        found: per layer (B, R); filled by the forward pass.
    """

    keys: Tensor
    rows: int
    layers: frozenset[int]
    reduce: Reduce = "max"
    found: dict[int, Tensor] = field(default_factory=dict)

    def mass(self) -> Tensor:
        """a_t, the mean over the layers: (B, R) in [0, 1].

        Row r belongs to the query at position ``rows + r``: the one that *predicts* the token after it.

        Raises:
            RuntimeError: a layer did not run through the capturing attention.
        """
        missing = self.layers - self.found.keys()
        if missing:
            raise RuntimeError(
                f"layers {sorted(missing)} were not captured: the model must run with attn_implementation={NAME!r}, "
                "and re-entrant gradient checkpointing loses what is captured."
            )
        return torch.stack([self.found[i] for i in sorted(self.layers)]).mean(0)


def register() -> str:
    """Make the capturing attention known to transformers; returns its name for ``attn_implementation``."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def switch_on(model: Any) -> None:
    """Run a model's text decoder through the capturing attention from now on.

    It is sdpa where nothing is captured. It must stay on until after ``backward``: gradient checkpointing runs layers
    again, and would find another attention there.

    Raises:
        UserError: gradient checkpointing is re-entrant; it would lose the mass's gradient without a word.
    """
    refuse_reentrant(model)
    name = register()
    for module in _decoders(model):
        module.config._attn_implementation = name


def refuse_reentrant(model: Any) -> None:
    """Refuse re-entrant gradient checkpointing.

    Raises:
        UserError: a module checkpoints re-entrantly.
    """
    for module in model.modules():
        function = getattr(module, "_gradient_checkpointing_func", None)
        if function is not None and getattr(function, "keywords", {}).get("use_reentrant", False):
            raise UserError(
                "re-entrant gradient checkpointing loses the gradient of captured attention.",
                'Use gradient_checkpointing_kwargs={"use_reentrant": False}.',
            )


def _decoders(model: Any) -> list[Any]:
    """Modules whose attention layers carry ``layer_idx`` and read a text configuration, one for each configuration."""
    found = {id(m.config): m for m in model.modules() if hasattr(m, "layer_idx") and hasattr(m, "config")}
    return list(found.values())


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    capture: Capture | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """sdpa, and in target layers the mass; (B, heads, L, D) in."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    out, _ = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
    )
    if capture is not None and getattr(module, "layer_idx", None) in capture.layers:
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        capture.found[module.layer_idx] = _mass(query, key, attention_mask, scale, capture)
    return out, None


def _mass(query: Tensor, key: Tensor, mask: Tensor | None, scale: float, capture: Capture) -> Tensor:
    """(B, R) reduced over heads; rows in chunks, so that scores of (B, heads, ``ROWS``, L) are the most there is."""
    heads, length = query.shape[1:3]
    if key.shape[2] != length:
        raise RuntimeError("attention is captured in whole forward passes, not while decoding with a cache.")
    key = key.repeat_interleave(heads // key.shape[1], dim=1)
    wanted = capture.keys[:, None, None, :]
    parts = []
    for first in range(capture.rows, length, ROWS):
        last = min(first + ROWS, length)
        if torch.is_grad_enabled() and query.requires_grad:
            part = torch.utils.checkpoint.checkpoint(
                _rows, query, key, mask, wanted, scale, first, last, use_reentrant=False
            )
        else:
            part = _rows(query, key, mask, wanted, scale, first, last)
        parts.append(part.amax(1) if capture.reduce == "max" else part.mean(1))
    return torch.cat(parts, -1)


def _rows(
    query: Tensor, key: Tensor, mask: Tensor | None, wanted: Tensor, scale: float, first: int, last: int
) -> Tensor:
    """Mass of some rows, per head: (B, heads, rows)."""
    # under autocast the product would be reckoned in bfloat16, and the mass be per cents off
    with torch.autocast(query.device.type, enabled=False):
        scores = (query[:, :, first:last].float() @ key.float().transpose(-1, -2)) * scale
    length = key.shape[2]
    if mask is None:
        rows = torch.arange(first, last, device=query.device)[:, None]
        allowed = torch.arange(length, device=query.device)[None] <= rows
        scores = scores.masked_fill(~allowed, float("-inf"))
    elif mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask[:, :, first:last, :length], float("-inf"))
    else:
        scores = scores + mask[:, :, first:last, :length].float()
    everything = scores.logsumexp(-1)
    # a row that sees none of the modality has no mass, and must not make the gradient nan
    low = torch.finfo(scores.dtype).min
    modality = scores.masked_fill(~wanted, low).clamp(min=low).logsumexp(-1)
    return torch.where(everything.isfinite(), (modality - everything).exp(), torch.zeros_like(everything))
