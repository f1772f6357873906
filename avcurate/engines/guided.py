"""Guided decoders: two passes along one response, whose logits are put together before a token is drawn.

``vcd``: (1 + α) l - α l' with l' on the clip under noise. ``pai``: attention to media raised, and
γ l - (γ - 1) l' with l' of the question alone. ``asd``: l' with cross-modal sinks raised and uni-modal ones lowered,
and log p = log p + λ (log p' - log p), λ by what the response attends to (crossmodal-hub §4.2).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from avcurate.attention.edit import Edit
from avcurate.attention.hidden import Decoder
from avcurate.attention.kinds import Kind
from avcurate.attention.locate import members
from avcurate.attention.plan import Plan
from avcurate.attention.read import Columns, Latest
from avcurate.attention.sinks import SinkOptions, Sinks, find_sinks, rule_for
from avcurate.engines.base import Request
from avcurate.engines.branches import Reads, branch_of
from avcurate.engines.decoding import Branch, Guide
from avcurate.engines.guidance import Guidance
from avcurate.engines.guided_both import forked, without_the_weaker
from avcurate.engines.prefill import Prefill
from avcurate.engines.watched import InProcess, kinds_of
from avcurate.errors import UserError

MEDIA = (Kind.AUDIO, Kind.VIDEO)
METRIC = (18 / 28, 26 / 28)
"""Layers whose attention decides λ, in parts of the model's depth: 18 to 25 of 28 in the release."""
EPS = 1e-8


def guided_prefill(engine: Reads, request: Request, guidance: Guidance) -> tuple[Prefill, Guide | None]:
    """The prompt as the first pass reads it, and the passes beside it; ``None`` where a decoder needs both modalities.

    Raises:
        UserError: sinks are to guide and sound does not stand inside the video.
    """
    if guidance.name == "vcd":
        noisy = engine.prefill([distorted(request, int(guidance["noise"]))])
        return engine.prefill([request]), Contrast(
            branch_of(engine, noisy), noisy.logits, guidance["alpha"], guidance["beta"]
        )
    if guidance.name == "pai":
        start = engine.prefill([request], None, partial(_attentive, engine, request, guidance))
        blind = engine.prefill([replace(request, audio=None, frames=None, interleaved=False, media_id="")])
        strength = guidance["gamma"] - 1
        return start, Contrast(branch_of(engine, blind), blind.logits, strength, guidance["beta"])
    if request.audio is None or request.frames is None:
        return engine.prefill([request]), None
    if guidance.name == "avcd":
        return without_the_weaker(engine, request, guidance)
    if guidance.name == "fmd":
        return forked(engine, request, guidance)
    return _by_sinks(engine, request, guidance)


class Contrast(Guide):
    """(1 + strength) l - strength l', among tokens of at least ``floor`` times the likeliest one's probability.

    A strength of 0 leaves the logits as they are.
    """

    def __init__(self, branch: Branch, logits: Tensor, strength: float, floor: float) -> None:
        super().__init__([branch], [logits])
        self.strength, self.floor = strength, floor

    def combined(self, logits: Tensor) -> Tensor:
        """Contrast them."""
        if self.strength == 0:
            return logits
        ours, theirs = logits.float(), self.logits[0].float()
        unlikely = ours < ours.amax(-1, keepdim=True) + math.log(self.floor) if self.floor else ours != ours
        return ((1 + self.strength) * ours - self.strength * theirs).masked_fill(unlikely, -torch.inf)


class SinkGuide(Guide):
    """log p + λ (log p' - log p), λ by row and step.

    Args:
        branch: the second pass; logits: of its prompt.
        latest: reads the first pass's attention.
        groups: positions of uni- and of cross-modal sinks, by modality.
        after: first position after the media: attention from there on is to text.
        guidance: which rule of λ.
    """

    def __init__(
        self,
        branch: Branch,
        logits: Tensor,
        latest: Latest,
        groups: dict[str, list[list[int]]],
        after: int,
        guidance: Guidance,
    ) -> None:
        super().__init__([branch], [logits])
        self.latest, self.groups, self.after, self.guidance = latest, groups, after, guidance
        self._lambda: Tensor | None = None
        self.weights: list[list[float]] = []
        """λ of every step, by row."""

    def combined(self, logits: Tensor) -> Tensor:
        """Guide them; the first token of a response is the first pass's own."""
        if self._lambda is None:
            self._lambda = torch.zeros(len(logits), 1, device=logits.device)
            return logits
        self._lambda = weight(*self._attention(), self._lambda, self.guidance)
        self.weights.append(self._lambda[:, 0].tolist())
        ours, theirs = (x.float().log_softmax(-1) for x in (logits, self.logits[0]))
        mixed = ours + self._lambda * (theirs - ours)
        return torch.where(self._lambda > 0, mixed, logits.float())

    def keep(self, index: Tensor) -> None:
        """Go on with these rows only."""
        super().keep(index)
        if self._lambda is not None:
            self._lambda = self._lambda[index]

    def _attention(self) -> tuple[Tensor, Tensor, Tensor]:
        """To uni-modal sinks, cross-modal sinks, and text, (R, 1) each; means over each modality's sinks, added."""
        row = self.latest.row

        def added(lists: list[list[int]]) -> Tensor:
            total = row.new_zeros(len(row), 1)
            for positions in lists:
                if positions:
                    total = total + row[:, positions].mean(1, keepdim=True)
            return total

        return added(self.groups["uni"]), added(self.groups["cross"]), row[:, self.after :].sum(1, keepdim=True)


def weight(uni: Tensor, cross: Tensor, text: Tensor, before: Tensor, guidance: Guidance) -> Tensor:
    """λ: how much the second pass counts (paper Eq. 9; the release's gates).

    Args:
        uni, cross, text: attention of the latest token, (R, 1).
        before: λ of the step before.
        guidance: ``asd``: uni / (uni + cross). ``reverse-asd``: cross / (uni + cross). ``asd-released``: strength times
            the first, lowered by its square below a gate and by a cosine where attention goes to text, at most
            ``most``, averaged with the step before.
    """
    if guidance.name == "reverse-asd":
        return cross / (uni + cross + EPS)
    share = uni / (uni + cross + EPS)
    if guidance.name == "asd":
        return share
    gate = torch.where(share < guidance["gate"], (share / guidance["gate"]).square(), torch.ones_like(share))
    over = ((text - guidance["text"]) / guidance["fade"]).clamp(0, 1)
    target = (guidance["strength"] * share * gate * 0.5 * (1 + torch.cos(math.pi * over))).clamp(max=guidance["most"])
    momentum = guidance["momentum"]
    return momentum * before + (1 - momentum) * target


def _attentive(engine: InProcess, request: Request, guidance: Guidance, ids: Tensor, mask: Tensor) -> Plan:
    """PAI's first pass: the response's attention to media is raised from a layer on."""
    kinds = kinds_of(engine, [request], ids, mask)
    layers = frozenset(range(int(guidance["first"]), int(engine.text_config.num_hidden_layers)))
    return Plan(kinds, edits=[Edit(members(kinds, MEDIA), guidance["alpha"], layers, ids.shape[1] - 1)])


def _by_sinks(engine: Reads, request: Request, guidance: Guidance) -> tuple[Prefill, Guide]:
    if not request.interleaved:
        raise UserError(
            f"--decode {guidance.name} needs sound inside the video item: where all video tokens come first, none has "
            "heard anything.",
            "Use layout: interleaved (--interleaved).",
        )
    count = int(engine.text_config.num_hidden_layers)
    first, end = round(METRIC[0] * count), round(METRIC[1] * count)
    watched = frozenset(range(min(first, count - 1), max(end, min(first, count - 1) + 1)))

    def reading(ids: Tensor, mask: Tensor) -> Plan:
        kinds = kinds_of(engine, [request], ids, mask)
        return Plan(kinds, readers=[Columns(kinds, (Kind.VIDEO, Kind.AUDIO)), Latest(ids.shape[1] - 1, watched)])

    with Decoder(engine.model).inputs() as states:
        start = engine.prefill([request], None, reading)
    assert start.plan is not None and start.plan.kinds is not None
    columns, latest = start.plan.readers
    assert isinstance(columns, Columns) and isinstance(latest, Latest)
    # from here on only the latest token's attention is read
    start.plan.readers = (latest,)
    sinks = _sinks(engine, torch.stack([s[0] for s in states]), start.plan.kinds[0], columns, guidance)
    sign = -1 if guidance.name == "reverse-asd" else 1

    def calibrated(ids: Tensor, mask: Tensor) -> Plan:
        edits = [
            Edit(_at(chosen, ids), strength, None, ids.shape[1] - 1)
            for chosen, strength in ((sinks.cross, sign * guidance["alpha"]), (sinks.uni, -sign * guidance["alpha"]))
        ]
        return Plan(kinds_of(engine, [request], ids, mask), edits=edits)

    second = engine.prefill([request], None, calibrated)
    media = members(sinks.kinds, MEDIA).nonzero()[:, 0]
    groups = {
        name: [sorted(p for p in chosen if int(sinks.kinds[p]) == kind) for kind in MEDIA]
        for name, chosen in (("uni", sinks.uni), ("cross", sinks.cross))
    }
    after = int(media[-1]) + 1 if len(media) else 0
    return start, SinkGuide(branch_of(engine, second), second.logits, latest, groups, after, guidance)


def _sinks(engine: InProcess, inputs: Tensor, kinds: Tensor, columns: Columns, guidance: Guidance) -> Sinks:
    options = SinkOptions(tau=guidance["tau"] or None, divide=guidance["divide"])
    rule = rule_for(inputs, str(engine.model.config.model_type), options)
    sums = torch.stack([columns.sums[i][0] for i in sorted(columns.sums)])
    return find_sinks(inputs, kinds, sums, columns.later[0], rule)


def _at(positions: frozenset[int], ids: Tensor) -> Tensor:
    chosen = torch.zeros_like(ids, dtype=torch.bool)
    chosen[:, sorted(positions)] = True
    return chosen


def distorted(request: Request, step: int) -> Request:
    """The request with its clip after so many of a thousand steps of diffusion noise (VCD §3.2), seeded by the request.

    Frames are noised on the scale from -1 to 1, sound on the scale of its own loudness.
    """
    kept, noise = noise_of(step)
    rng = np.random.default_rng(request.seed)
    audio, frames = request.audio, request.frames
    if audio is not None:
        loudness = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
        audio = (kept * audio + noise * loudness * rng.standard_normal(audio.shape)).astype(np.float32)
    if frames is not None:
        seen = frames.astype(np.float32) / 127.5 - 1
        seen = kept * seen + noise * rng.standard_normal(seen.shape, dtype=np.float32)
        frames = ((seen.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    return replace(request, audio=audio, frames=frames, media_id=f"{request.media_id}/vcd-{step}-{request.seed}")


def noise_of(step: int) -> tuple[float, float]:
    """(share of the signal, share of the noise) after so many of 1,000 steps of a sigmoid schedule.

    β runs from 1e-5 to 5e-3 along a sigmoid of -6 to 6; the shares are the roots of ᾱ and 1 - ᾱ.
    """
    betas = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.5e-2 - 1e-5) + 1e-5
    kept = float(np.prod(1 - betas[: step + 1]))
    return math.sqrt(kept), math.sqrt(1 - kept)
