"""How much attention completion tokens pay to a modality, read inside the model's own forward pass.

Uses transformers' attention interface: target layers compute, for the completion's rows only, the log-sum-exp of
scores over the modality's keys and over all keys; the mass is exp of their difference (MAPO §3.2). Nothing of size
(L, L) is kept, the mass is differentiable, and the layer's output equals plain sdpa. No model is patched.
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
    """What to capture in one forward pass, and the result.

    Attributes:
        keys: bool (B, L), the modality's own tokens (placeholders without their markers).
        rows: first row of the completion; the mass covers rows ``rows`` to L - 1.
        layers: layers whose mass is averaged.
        reduce: over the heads of a layer; the paper's objective takes the maximum.
        masses: per layer (B, R); filled by the forward pass.
    """

    keys: Tensor
    rows: int
    layers: frozenset[int]
    reduce: Reduce = "max"
    masses: dict[int, Tensor] = field(default_factory=dict)

    def mass(self) -> Tensor:
        """a_t, the mean over the layers: (B, R) in [0, 1].

        Row r belongs to the query at position ``rows + r``: the one that *predicts* the token after it.

        Raises:
            RuntimeError: a layer did not run through the capturing attention.
        """
        missing = self.layers - self.masses.keys()
        if missing:
            raise RuntimeError(
                f"layers {sorted(missing)} were not captured: the model must run with attn_implementation={NAME!r}, "
                "and re-entrant gradient checkpointing loses captured values."
            )
        return torch.stack([self.masses[i] for i in sorted(self.layers)]).mean(0)


def register() -> str:
    """Register the capturing attention with transformers; returns its name for ``attn_implementation``."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def switch_on(model: Any) -> None:
    """Run a model's text decoder through the capturing attention from now on.

    Equals sdpa when nothing is captured. Must stay on until after ``backward``: gradient checkpointing reruns layers,
    which would otherwise use a different attention.

    Raises:
        UserError: gradient checkpointing is re-entrant; it would silently lose the mass's gradient.
    """
    refuse_reentrant(model)
    bare(model).config.get_text_config(decoder=True)._attn_implementation = register()


def bare(model: Any) -> Any:
    """The model itself, without what wraps it for several processes or for LoRA."""
    while hasattr(model, "module"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def refuse_reentrant(model: Any) -> None:
    """Refuse re-entrant gradient checkpointing.

    Raises:
        UserError: a module uses re-entrant checkpointing.
    """
    for module in model.modules():
        function = getattr(module, "_gradient_checkpointing_func", None)
        if function is not None and getattr(function, "keywords", {}).get("use_reentrant", False):
            raise UserError(
                "re-entrant gradient checkpointing loses the gradient of captured attention.",
                'Use gradient_checkpointing_kwargs={"use_reentrant": False}.',
            )


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
    """sdpa, plus the mass in target layers; inputs are (B, heads, L, D)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    out, _ = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
    )
    if capture is not None and getattr(module, "layer_idx", None) in capture.layers:
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        capture.masses[module.layer_idx] = _mass(query, key, attention_mask, scale, capture)
    return out, None


def _mass(query: Tensor, key: Tensor, mask: Tensor | None, scale: float, capture: Capture) -> Tensor:
    """(B, R) reduced over heads; in chunks of rows, so that scores never exceed (B, heads, ``ROWS``, L)."""
    heads, length = query.shape[1:3]
    if key.shape[2] != length:
        raise RuntimeError("attention is captured in full forward passes, not while decoding with a cache.")
    key = key.repeat_interleave(heads // key.shape[1], dim=1)
    modality_keys = capture.keys[:, None, None, :]
    parts = []
    for first in range(capture.rows, length, ROWS):
        last = min(first + ROWS, length)
        if torch.is_grad_enabled() and query.requires_grad:
            part = torch.utils.checkpoint.checkpoint(
                _rows, query, key, mask, modality_keys, scale, first, last, use_reentrant=False
            )
        else:
            part = _rows(query, key, mask, modality_keys, scale, first, last)
        parts.append(part.amax(1) if capture.reduce == "max" else part.mean(1))
    return torch.cat(parts, -1)


def _rows(
    query: Tensor, key: Tensor, mask: Tensor | None, modality_keys: Tensor, scale: float, first: int, last: int
) -> Tensor:
    """Mass per head of rows ``first`` to ``last``: (B, heads, rows)."""
    # under autocast the product would be in bfloat16, and the mass off by several per cent
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
    total = scores.logsumexp(-1)
    # a row that attends to none of the modality has no mass, and must not make the gradient NaN
    low = torch.finfo(scores.dtype).min
    modality = scores.masked_fill(~modality_keys, low).clamp(min=low).logsumexp(-1)
    return torch.where(total.isfinite(), (modality - total).exp(), torch.zeros_like(total))
