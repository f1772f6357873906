"""Which tokens depend on a modality: differential entropy, the relevance mask and its inverse (MAPO §3.3, Eq. 1 and 3).

The modality may be audio, video or both; the paper covers audio and leaves the others to future work. All tensors are
(B, T): B completions, T tokens each, right-padded; ``mask`` is 1 on tokens of a completion and 0 on padding.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 256


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Entropy over the full vocabulary, in nats.

    Args:
        logits: float (..., T, V), T second to last; any float type, computed in at least float32.
        temperature: logits are divided by it, as in sampling.

    Returns:
        (..., T) in [0, log V]. Differentiable.
    """
    parts = []
    # chunks of positions: the log-probabilities of a whole sequence would be another copy of the logits
    for part in torch.split(logits, CHUNK, dim=-2):
        logp = (part.to(torch.promote_types(part.dtype, torch.float32)) / temperature).log_softmax(-1)
        parts.append(-(logp.exp() * logp).sum(-1))
    return torch.cat(parts, -1)


def differential_entropy(text_only: Tensor, full: Tensor, mask: Tensor) -> Tensor:
    """Δh = H(reference without the modality) - H(policy), detached; 0 on padding (MAPO §3.3).

    Args:
        text_only: (B, T) entropies of the reference, which reads the prompt with the modality's tokens removed.
        full: (B, T) entropies of the policy.
        mask: (B, T).

    Raises:
        ValueError: a token's entropy is not finite; a masked weight would hide it.
    """
    delta = (text_only - full).detach()
    if not torch.isfinite(delta[mask.bool()]).all():
        raise ValueError("an entropy is not finite: the model's logits are broken.")
    return torch.where(mask.bool(), delta, torch.zeros_like(delta))


def scaled_temperature(mask: Tensor, base: float) -> Tensor:
    """τ_T = base · ln(max(T, 2)) per completion: (B, 1), in the default float type of ``mask``'s device."""
    lengths = mask.sum(-1, keepdim=True).clamp(min=2)
    return base * lengths.to(torch.get_default_dtype()).log()


def relevance_mask(delta: Tensor, mask: Tensor, *, base: float = 1.0, cap: float = 5.0) -> Tensor:
    """ω̃ = min(T · softmax(\\|Δh\\| / τ_T), cap), detached (MAPO Eq. 1).

    Args:
        delta: (B, T) Δh; its sign does not matter.
        mask: (B, T).
        base: τ_base > 0.
        cap: C_mask; 0 leaves weights uncapped.

    Returns:
        (B, T) in [0, cap], 0 on padding; without the cap its mean over a completion is 1.
    """
    return _softmax_weights(delta.abs(), mask, mask.bool(), base, cap)


def inverse_relevance(delta: Tensor, mask: Tensor, gate: Tensor, *, base: float = 1.0, cap: float = 5.0) -> Tensor:
    """ν̃ = min(N_pos · softmax over gated tokens of -\\|Δh\\| / τ_T, cap), detached (MAPO Eq. 3).

    Args:
        delta: (B, T) Δh.
        mask: (B, T).
        gate: (B, T), 1 on tokens of words whose part of speech counts.
        base: τ_base > 0; τ_T is that of the whole completion.
        cap: C_mask; 0 leaves weights uncapped.

    Returns:
        (B, T) in [0, cap], 0 outside the gate and where no token is gated.
    """
    return _softmax_weights(-delta.abs(), mask, mask.bool() & gate.bool(), base, cap)


def _softmax_weights(scores: Tensor, mask: Tensor, chosen: Tensor, base: float, cap: float) -> Tensor:
    scores = scores.detach()
    logits = (scores / scaled_temperature(mask, base)).masked_fill(~chosen, float("-inf"))
    # a row without a chosen token would be nan
    empty = ~chosen.any(-1, keepdim=True)
    weights = logits.masked_fill(empty, 0.0).softmax(-1) * chosen.sum(-1, keepdim=True)
    weights = weights.masked_fill(~chosen, 0.0)
    return weights.clamp(max=cap) if cap > 0 else weights
