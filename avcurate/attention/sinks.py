"""Sink tokens: which they are, and whether they gather one modality or both (crossmodal-hub §3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avcurate.attention.kinds import Kind

EPS = 1e-9
NORM_EPS = 1e-6


@dataclass(frozen=True)
class SinkRule:
    """How sinks are identified.

    Attributes:
        dims: dimensions of the hidden state in which sinks stand out.
        tau: a token is a sink of a layer where the largest of these dimensions exceeds it, after RMS normalisation
            without gain; at most the square root of the hidden size.
        divide: the ``K = int(L / divide)`` tokens that are sinks in the most layers are kept, L the prompt's length.
    """

    dims: tuple[int, ...]
    tau: float
    divide: float = 3.0


@dataclass(frozen=True)
class SinkOptions:
    """What a run says of sinks; see :class:`SinkRule`. ``None`` or empty: the checkpoint's."""

    dims: tuple[int, ...] = ()
    tau: float | None = None
    divide: float = 3.0

    def identity(self) -> dict[str, Any]:
        """As it is stored."""
        return {"dims": list(self.dims), "tau": self.tau, "divide": self.divide}


@dataclass(frozen=True)
class Sinks:
    """The sinks of one prompt of L tokens.

    Attributes:
        rule: how they were identified.
        kinds: (L,) kinds of the tokens.
        layers: (L,) in how many layers each token is a sink; peak: (L,) largest φ.
        mds: (L,) modality score.
        chosen: the global sinks among media tokens, most layers first; places: how many tokens of any kind were taken.
        uni, cross: of them, by group.
    """

    rule: SinkRule
    kinds: Tensor
    layers: Tensor
    peak: Tensor
    mds: Tensor
    chosen: list[int]
    places: int
    uni: frozenset[int]
    cross: frozenset[int]


def normalised(states: Tensor) -> Tensor:
    """RMS normalisation without gain: float32 (..., H)."""
    states = states.float()
    return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + NORM_EPS)


def sink_values(states: Tensor, dims: Sequence[int]) -> Tensor:
    """φ: the largest magnitude among the sink dimensions after normalisation.

    Args:
        states: (..., L, H), the input of a decoder layer.
        dims: sink dimensions.

    Returns:
        float32 (..., L).
    """
    return normalised(states)[..., list(dims)].abs().amax(-1)


def sink_dimensions(states: Tensor, count: int) -> tuple[int, ...]:
    """The dimensions in which the first token stands out most over the layers: every decoder parks attention there.

    Args:
        states: (layers, L, H), inputs of the layers for one prompt.
        count: how many.

    Returns:
        Dimensions by their median magnitude over the layers at the first token, greatest first.
    """
    magnitude = normalised(states[:, 0]).abs().median(0).values
    return tuple(magnitude.topk(min(count, magnitude.numel())).indices.tolist())


def global_sinks(found: Tensor, divide: float) -> list[int]:
    """The tokens that are sinks in the most layers.

    Text counts among them and takes places; a token that is a sink in no layer is never one. Of equals the one that
    was a sink in an earlier layer comes first, then the earlier token.

    Args:
        found: bool (layers, L).
        divide: K = int(L / divide).
    """
    layers, length = found.shape
    counts = found.sum(0).tolist()
    first = torch.where(found.any(0), found.int().argmax(0), torch.full((length,), layers, device=found.device))
    order = sorted((i for i in range(length) if counts[i]), key=lambda i: (-counts[i], int(first[i]), i))
    return order[: int(length / divide)]


def modality_score(by_video: Tensor, by_audio: Tensor, later_video: Tensor, later_audio: Tensor) -> Tensor:
    """MDS: +1 where only later video tokens attend to a token, -1 where only later audio tokens do.

    Args:
        by_video, by_audio: (layers, L), attention summed over the later queries of each modality, mean over heads.
        later_video, later_audio: (L,), how many such queries a token has.

    Returns:
        float32 (L,), the mean over the layers of ``(v - a) / (v + a + 1e-9)``; v and a are means over those queries,
        0 where there are none.
    """
    v = by_video / later_video.clamp(min=1)
    a = by_audio / later_audio.clamp(min=1)
    return ((v - a) / (v + a + EPS)).nanmean(0)


def split(sinks: Sequence[int], scores: Sequence[float], *, video: bool) -> tuple[list[int], list[int]]:
    """(uni-modal, cross-modal) sinks of one modality.

    Args:
        sinks: positions, all of one modality.
        scores: MDS of each.
        video: whether they are video tokens, whose highest scores are uni-modal; of audio tokens the lowest are.

    Returns:
        The first half of the order, and the rest; of an odd number the rest has one more.
    """
    order = [p for _, p in sorted(zip(scores, sinks, strict=True), key=lambda x: (-x[0] if video else x[0], x[1]))]
    half = len(order) // 2
    return order[:half], order[half:]


def find_sinks(inputs: Tensor, kinds: Tensor, sums: Tensor, later: Tensor, rule: SinkRule) -> Sinks:
    """The sinks of a prompt.

    Args:
        inputs: (layers, L, H), inputs of the decoder's layers.
        kinds: int64 (L,).
        sums: (layers, 2, L), attention from later video and from later audio queries; see ``Columns``.
        later: (2, L), how many such queries there are.
        rule: what a sink is.
    """
    values = sink_values(inputs, rule.dims)
    mds = modality_score(sums[:, 0], sums[:, 1], later[0], later[1])
    found = global_sinks(values > rule.tau, rule.divide)
    groups: tuple[set[int], set[int]] = (set(), set())
    for kind in (Kind.VIDEO, Kind.AUDIO):
        ours = [p for p in found if int(kinds[p]) == kind]
        for group, some in zip(groups, split(ours, mds[ours].tolist(), video=kind is Kind.VIDEO), strict=True):
            group.update(some)
    uni, cross = groups
    chosen = [p for p in found if p in uni or p in cross]
    counts, peak = (values > rule.tau).sum(0), values.amax(0)
    return Sinks(rule, kinds, counts, peak, mds, chosen, len(found), frozenset(uni), frozenset(cross))


PUBLISHED = {3584: ((458, 2570), 25.0), 2048: ((), 20.0)}
"""By hidden size of Qwen2.5-Omni (7B, 3B): dimensions and τ (paper's Table 4; dimensions from its release).

The 3B's dimensions are not published: they are found from the first token."""
SHARE = 0.42
"""τ of other models, in parts of the largest value possible, which is the square root of the hidden size (7B: 59.9)."""


def rule_for(states: Tensor, model_type: str, options: SinkOptions) -> SinkRule:
    """The rule of a checkpoint: what was asked for, else what is published, else what its first token shows.

    Args:
        states: (layers, L, H) of one prompt.
        model_type: of the checkpoint's configuration.
        options: what was asked for.
    """
    size = states.shape[-1]
    known, known_tau = PUBLISHED.get(size, ((), None)) if model_type.startswith("qwen2_5_omni") else ((), None)
    dims = options.dims or known or sink_dimensions(states, 2)
    tau = options.tau if options.tau is not None else known_tau or SHARE * size**0.5
    return SinkRule(dims, tau, options.divide)
