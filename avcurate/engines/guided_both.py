"""Decoders made for sound and picture together: AVCD (arXiv 2505.20862) and FMD (arXiv 2505.20873).

AVCD is written after its release, which is Apache-2.0 (github.com/kaistmm/AVCD, ``videollama2``); what is done
otherwise here is said at each place. FMD has no release: its fork and its merge are written after the abstract and
Figure 2, and its weights, which the paper derives from attention, are a value here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from avcurate.attention.cut import Cut, Unread
from avcurate.attention.hidden import Decoder
from avcurate.attention.kinds import GROUPS, Kind
from avcurate.attention.locate import members
from avcurate.attention.plan import Plan
from avcurate.attention.read import Latest
from avcurate.engines.base import Request
from avcurate.engines.branches import Reads, branch_of
from avcurate.engines.decoding import Branch, Guide
from avcurate.engines.guidance import Guidance
from avcurate.engines.prefill import Prefill
from avcurate.engines.watched import kinds_of

MODALITIES: dict[str, tuple[Kind, ...]] = {
    "language": (*GROUPS["text"],),
    "video": (Kind.VIDEO,),
    "audio": (Kind.AUDIO,),
}


def without_the_weaker(engine: Reads, request: Request, guidance: Guidance) -> tuple[Prefill, Guide]:
    """AVCD: passes without what the prompt reads most of its two weaker modalities, together and each alone.

    Which modality is strongest, and which tokens are read most, is measured once, where the prompt ends: mean attention
    of its last token over all layers but the last. Hidden tokens are read by no other token, here as keys; the release
    clears the rows of the same tokens instead.
    """
    count = int(engine.text_config.num_hidden_layers)
    layers = frozenset(range(max(1, count - 1)))

    def reading(ids: Tensor, mask: Tensor) -> Plan:
        return Plan(kinds_of(engine, [request], ids, mask), readers=[Latest(ids.shape[1] - 1, layers)])

    start = engine.prefill([request], None, reading)
    assert start.plan is not None and start.plan.kinds is not None
    (latest,) = start.plan.readers
    assert isinstance(latest, Latest)
    row, kinds = latest.row[0], start.plan.kinds[0]
    start.plan.readers = ()
    weaker = weaker_of(row, kinds)
    read = {m: most_read(row, kinds, m, guidance["share"]) for m in weaker}
    first, second = (read[m] for m in weaker)
    passes = [
        engine.prefill([request], None, partial(_hiding, engine, request, hidden))
        for hidden in (first | second, first, second)
    ]
    guide = Weaker(
        [branch_of(engine, p) for p in passes],
        [p.logits for p in passes],
        alpha=guidance["alpha"],
        floor=guidance["beta"],
        gate=guidance["gate"],
    )
    return start, guide


def _after_media(kinds: Tensor) -> Tensor:
    media = members(kinds, (Kind.AUDIO, Kind.VIDEO))
    return media.flip(0).cumsum(0).flip(0) == 0


def _members_of(kinds: Tensor, modality: str) -> Tensor:
    chosen = members(kinds, MODALITIES[modality])
    # what the template says before the media is nobody's, as in the release
    return chosen & _after_media(kinds) if modality == "language" else chosen


def weaker_of(row: Tensor, kinds: Tensor) -> tuple[str, str]:
    """The two modalities that are not read most, by mean attention per token.

    Args:
        row: attention to each key, (K,); kinds: int64 (K,).
    """
    means = {m: float(row[_members_of(kinds, m)].mean().nan_to_num()) for m in MODALITIES}
    strongest = max(means, key=means.__getitem__)
    first, second = (m for m in MODALITIES if m != strongest)
    return first, second


def most_read(row: Tensor, kinds: Tensor, modality: str, share: float) -> frozenset[int]:
    """Positions of a modality read more than the quantile ``1 - share`` of all tokens; none if ``share`` is 0."""
    if share <= 0:
        return frozenset()
    above = row > torch.quantile(row, 1 - share)
    return frozenset((above & _members_of(kinds, modality)).nonzero()[:, 0].tolist())


def _hiding(engine: Reads, request: Request, positions: frozenset[int], ids: Tensor, mask: Tensor) -> Plan:
    return Plan(kinds_of(engine, [request], ids, mask), [Unread("all", positions)])


class Weaker(Guide):
    """((2 + 2α) l - 2α l_both + l_one + l_other) / 4, where the first pass is unsure.

    The release does not divide by 4; the likeliest token is the same, and without anything hidden l remains.

    Args:
        branches, logits: of the passes without both, the first and the second.
        floor: tokens of less than so many times the likeliest one's probability are not drawn.
        gate: entropy in nats below which the first pass is left alone.
    """

    def __init__(
        self, branches: Sequence[Branch], logits: Sequence[Tensor], *, alpha: float, floor: float, gate: float
    ) -> None:
        super().__init__(branches, logits)
        self.alpha, self.floor, self.gate = alpha, floor, gate

    def combined(self, logits: Tensor) -> Tensor:
        """Contrast the passes."""
        ours = logits.float()
        both, one, other = (x.float() for x in self.logits)
        mixed = ((2 + 2 * self.alpha) * ours - 2 * self.alpha * both + one + other) / 4
        if self.floor:
            mixed = mixed.masked_fill(ours < ours.amax(-1, keepdim=True) + math.log(self.floor), -torch.inf)
        logp = ours.log_softmax(-1)
        entropy = -(logp.exp() * logp.nan_to_num(neginf=0.0)).sum(-1, keepdim=True)
        return torch.where(entropy < self.gate, ours, mixed)


def forked(engine: Reads, request: Request, guidance: Guidance) -> tuple[Prefill, Guide]:
    """FMD: below a layer one pass reads no picture and one no sound; from there on both go on from their mean.

    Nothing but the modality's own tokens reads it below the fork; the paper masks the modality at the input, which a
    family that feeds picture into several layers (Qwen3-Omni) would undo.
    """
    decoder = Decoder(engine.model)
    count = len(decoder.layers)
    fork = min(max(1, round(guidance["fork"] * count)), max(1, count - 1))
    merge = Merge(decoder, fork, guidance["audio"])
    start = engine.prefill([request])

    def half(ids: Tensor, mask: Tensor) -> Plan:
        rules = [Half(Cut("rest", "video", 0, fork), True), Half(Cut("rest", "audio", 0, fork), False)]
        return Plan(kinds_of(engine, [request, request], ids, mask), rules)

    with merge.on():
        both = engine.prefill([request, request], None, half)
    return start, Forked(branch_of(engine, both), both.logits, merge, guidance["strength"])


@dataclass(frozen=True)
class Half:
    """A rule that holds in the first or in the second half of a batch."""

    rule: Cut
    first: bool

    def holds_in(self, layer: int) -> bool:
        """Where the rule does."""
        return self.rule.holds_in(layer)

    def hidden(self, kinds: Tensor, first: int, last: int) -> Tensor:
        """Keys that the half's queries do not read: bool (B, rows, K)."""
        hidden = self.rule.hidden(kinds, first, last)
        mine = (torch.arange(len(kinds), device=kinds.device) < len(kinds) // 2) == self.first
        return hidden & mine[:, None, None]


class Merge:
    """From a layer on, both halves of a batch go on from one state.

    Args:
        decoder: of the model; layer: the first that reads the merged state.
        audio: weight of the first half, which reads no picture.
    """

    def __init__(self, decoder: Decoder, layer: int, audio: float) -> None:
        self.decoder, self.layer, self.audio = decoder, layer, audio

    @contextmanager
    def on(self) -> Iterator[None]:
        """Merge within."""

        def put(_module: Any, arguments: Any, keywords: Any) -> Any:
            states = arguments[0] if arguments else keywords["hidden_states"]
            heard, seen = states.chunk(2)
            mixed = (self.audio * heard + (1 - self.audio) * seen).repeat(2, 1, 1)
            return ((mixed, *arguments[1:]), keywords) if arguments else ((), {**keywords, "hidden_states": mixed})

        hook = self.decoder.layers[self.layer].register_forward_pre_hook(put, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()


class Forked(Guide):
    """l + strength (l' - l), l' of a pass over two rows for each response.

    Args:
        branch: R rows without picture, then R without sound; logits: (2R, V), equal in both halves.
    """

    def __init__(self, branch: Branch, logits: Tensor, merge: Merge, strength: float) -> None:
        super().__init__([branch], [logits])
        self.merge, self.strength = merge, strength

    def combined(self, logits: Tensor) -> Tensor:
        """Go from the first pass to the merged one."""
        if self.strength == 0:
            return logits
        ours, merged = logits.float(), self.logits[0].chunk(2)[0].float()
        return ours + self.strength * (merged - ours)

    def keep(self, index: Tensor) -> None:
        """Go on with these responses only."""
        rows = len(self.logits[0]) // 2
        super().keep(torch.cat([index, index + rows]))

    def step(self, tokens: Tensor) -> None:
        """Take one more token per response."""
        with self.merge.on():
            super().step(tokens.repeat(2))
