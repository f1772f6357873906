"""GRPO and MAPO objectives (MAPO §2, Eq. 2, 4 and 5), in plain torch.

All tensors are (B, T), B completions, right-padded, or (B,) per completion; ``mask`` is 1 on tokens. Advantages
and weights are constants: they are detached here. With ω̃ = 1 everywhere the objective is plain GRPO.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MASS_EPS = 1e-6


@dataclass(frozen=True)
class AttentionLoss:
    """Hyper-parameters of the attention branch (MAPO Eq. 4, Table 5).

    Attributes:
        exponent: κ ≥ 0 of the temporal weight (t/T)^κ.
        floor: α in [0, 1], the failure gate's weight for completions that succeeded.
        fail_at: θ_fail; a completion has failed if its accuracy reward is at most this.
        prefactor_cap: C_pref, over gate · \\|advantage\\|.
        advantage_floor: least \\|advantage\\|, so that a group that fails as one still has an attention loss; 0 is
            Eq. 4 alone. The paper's ε of 0.1 (Table 5); it writes the logarithm's ε with the same letter.
        eps: added to the mass inside the logarithm.
    """

    exponent: float = 1.0
    floor: float = 0.1
    fail_at: float = 0.0
    prefactor_cap: float = 3.0
    advantage_floor: float = 0.0
    eps: float = MASS_EPS


def group_advantages(rewards: Tensor, group: int, *, eps: float = 1e-4) -> Tensor:
    """(r - mean) / (std + eps) inside each group of completions of one prompt (SFFL Eq. 11, MAPO §2).

    Args:
        rewards: (B,), a prompt's completions adjacent.
        group: G ≥ 2 completions per prompt; the standard deviation is the sample's (n - 1).

    Returns:
        (B,); 0 where all of a group earns the same.

    Raises:
        ValueError: B is not a multiple of G, or a reward is not finite.
    """
    centred = group_centred(rewards, group).view(-1, group)
    return (centred / (rewards.view(-1, group).std(1, keepdim=True) + eps)).flatten()


def group_centred(rewards: Tensor, group: int) -> Tensor:
    """r - mean inside each group (B,), as Dr. GRPO's advantages (arXiv 2503.20783, §3.2).

    Raises:
        ValueError: B is not a multiple of G, or a reward is not finite.
    """
    if group < 2 or len(rewards) % group:
        raise ValueError(f"{len(rewards)} rewards do not form whole groups of {group}.")
    if not torch.isfinite(rewards).all():
        raise ValueError("a reward is not finite.")
    grouped = rewards.view(-1, group)
    return (grouped - grouped.mean(1, keepdim=True)).flatten()


def clipped_surrogate(ratio: Tensor, advantage: Tensor, *, low: float = 0.2, high: float = 0.2) -> Tensor:
    """ℓ = -min(ρ Â, clip(ρ, 1 - low, 1 + high) Â) per token (MAPO §2).

    Args:
        ratio: (B, T) ρ = π / π_old of the sampled tokens, positive.
        advantage: (B,) or (B, T).
    """
    a = (advantage[:, None] if advantage.dim() == 1 else advantage).detach()
    return -torch.minimum(ratio * a, ratio.clamp(1 - low, 1 + high) * a)


def clipped_share(ratio: Tensor, advantage: Tensor, mask: Tensor, *, low: float = 0.2, high: float = 0.2) -> Tensor:
    """Share of tokens whose surrogate is clipped, and which give no gradient; scalar in [0, 1].

    Args:
        ratio, mask: (B, T); advantage: (B,).
    """
    up, down = advantage[:, None] > 0, advantage[:, None] < 0
    clipped = (up & (ratio > 1 + high)) | (down & (ratio < 1 - low))
    return (clipped * mask).sum() / mask.sum().clamp(min=1)


def reweighted_policy_loss(surrogate: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """Mean over completions of Σ ω̃ ℓ / Σ ω̃ (MAPO Eq. 2): invariant to the scale of ω̃.

    Args:
        surrogate: (B, T) ℓ.
        weights: (B, T) ω̃; ones give GRPO's 1/T.
        mask: (B, T); a completion without tokens counts as 0.

    Returns:
        scalar.
    """
    w = weights.detach() * mask
    total = w.sum(-1)
    per_sequence = (w * surrogate).sum(-1) / total.clamp(min=torch.finfo(w.dtype).tiny)
    return torch.where(total > 0, per_sequence, torch.zeros_like(per_sequence)).mean()


def sequence_ratio(logp: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    """Geometric mean over a completion's tokens of π / π_old: (B, 1) (GSPO, arXiv 2507.18071, Eq. 7).

    Args:
        logp, old, mask: (B, T).
    """
    mean = ((logp - old) * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return mean.exp()


def importance_weights(old: Tensor, sampled: Tensor, mask: Tensor, cap: float) -> Tensor:
    """min(π_old / π_sampled, cap) per token (B, T), 1 beyond the completion: truncated importance sampling.

    For rollouts of an engine whose kernels give tokens other probabilities than training's (Yao et al. 2025, "Your
    efficient RL framework secretly brings you off-policy RL training").

    Args:
        old: (B, T) log-probabilities under the weights that sampled, as training computes them.
        sampled: (B, T) as the engine that sampled them computed them.
    """
    difference = torch.where(mask.bool(), old - sampled, torch.zeros_like(old))
    return difference.exp().clamp(max=cap).detach()


def kl_k3(logp: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Mean over completions of the mean over tokens of exp(d) - d - 1, d = log π_ref - log π (MAPO §2).

    Args:
        logp: (B, T) log-probabilities of the sampled tokens; reference: of the frozen model.

    Returns:
        scalar ≥ 0.
    """
    d = torch.where(mask.bool(), reference.detach() - logp, torch.zeros_like(logp))
    # expm1: near the reference d² / 2 would drown in the rounding of exp(d) - 1
    per_token = d.expm1() - d
    return (per_token.sum(-1) / mask.sum(-1).clamp(min=1)).mean()


def attention_loss(
    mass: Tensor, inverse: Tensor, mask: Tensor, gate: Tensor, advantage: Tensor, accuracy: Tensor, how: AttentionLoss
) -> Tensor:
    """The attention branch (MAPO Eq. 4); gradients flow through ``mass`` alone.

    Args:
        mass: (B, T) attention mass a_t on the modality's tokens, in [0, 1].
        inverse: (B, T) ν̃ of :func:`relevance.inverse_relevance`.
        mask: (B, T); gate: (B, T) part-of-speech gate.
        advantage: (B,) sequence-level Â, not reweighted.
        accuracy: (B,) the accuracy reward; a value that is not finite counts as failed.
        how: exponents, gates and caps.

    Returns:
        scalar ≥ 0 for mass ≤ 1 - eps; 0 where no token is gated.
    """
    chosen = mask.bool() & gate.bool()
    length = mask.sum(-1, keepdim=True).clamp(min=1)
    step = torch.arange(1, mask.shape[-1] + 1, device=mass.device, dtype=mass.dtype)
    temporal = (step / length).clamp(max=1.0) ** how.exponent
    penalty = -(mass + how.eps).clamp(min=how.eps).log()
    per_token = torch.where(chosen, temporal * inverse.detach() * penalty, torch.zeros_like(penalty))
    mean = per_token.sum(-1) / chosen.sum(-1).clamp(min=1)
    failed = (~torch.isfinite(accuracy)) | (accuracy <= how.fail_at)
    prefactor = failed.to(mass.dtype).clamp(min=how.floor) * advantage.detach().abs().clamp(min=how.advantage_floor)
    return (prefactor.clamp(max=how.prefactor_cap) * mean).mean()


def total_loss(policy: Tensor, kl: Tensor, attention: Tensor, *, beta: float, eta: float) -> Tensor:
    """L = L_PG + β L_KL + η L_attn (MAPO Eq. 5, Algorithm 1 line 11); scalars in, scalar out."""
    return policy + beta * kl + eta * attention
