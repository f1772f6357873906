"""``probe trace``: which tokens carry the evidence to the answer (causal tracing; crossmodal-hub §3.2)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avcurate.attention.hidden import Decoder
from avcurate.attention.kinds import GROUPS, Kind
from avcurate.attention.locate import members
from avcurate.attention.sinks import SinkOptions, Sinks
from avcurate.engines.base import Request
from avcurate.errors import RowError
from avcurate.media.decode import DecodedClip
from avcurate.metrics.answers import fold
from avcurate.metrics.pem import pem_of
from avcurate.runner.stage import Filtered, Row
from avcurate.schema import PEM
from avcurate.seeds import derive_seed
from avcurate.tasks.probe.objects import Objects
from avcurate.tasks.probe.patching import Odds, Patch, Site, averaged, kept, patched
from avcurate.tasks.probe.preference import forms, place_of_answer
from avcurate.tasks.probe.reading import Answered, Reading
from avcurate.tasks.probe.sinks import object_tokens, refuse_separate, sinks_of
from avcurate.tasks.probe.stage import ProbeStage

TOGETHER = 16
"""Patches that are run in one batch."""
_DECIDES = {PEM.AUDIO: ("audio",), PEM.VISUAL: ("video",), PEM.AUDIO_VISUAL: ("audio", "video")}


class TraceStage(ProbeStage):
    """Runs each question on the clip, on a corrupted clip, and on the corrupted clip with clean states at some tokens.

    Args:
        corrupt: ``deciding``: the modality that the question's label names; or ``audio``, ``video``, ``both``.
        how: ``zero``: silence and black; ``noise``; ``mean``: its embeddings are all their mean.
        site: module whose output is patched.
        sets: token sets; see ``hub_recipes.SETS``.
        window: layers patched at a time, ``step`` apart; 0: all at once and nothing else.
        each: media tokens that are patched alone, in blocks of so many; 0: none.
        objects: where things are seen and heard, for the sets ``objects``, ``seen`` and ``heard``.
    """

    probe = "trace"

    def __init__(
        self,
        *arguments: Any,
        corrupt: str,
        how: str,
        site: Site,
        sets: Sequence[str],
        window: int,
        step: int,
        each: int,
        sinks: SinkOptions,
        objects: Path | None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        refuse_separate(self.spec.interleaved, "probe trace")
        self.objects = None if objects is None else Objects(objects)
        self.corrupt, self.how, self.site = corrupt, how, site
        self.sets, self.window, self.step, self.each, self.sinks = tuple(sets), window, step, each, sinks

    def depends(self) -> dict[str, Any]:
        """What is corrupted and patched."""
        return {
            "corrupt": self.corrupt,
            "how": self.how,
            "site": self.site,
            "sets": list(self.sets),
            "window": self.window,
            "step": self.step,
            "each": self.each,
            "sinks": self.sinks.identity(),
            **({} if self.objects is None else self.objects.identity()),
        }

    def setup(self) -> None:
        """Find the decoder's layers."""
        super().setup()
        self.decoder = Decoder(self.model.model)

    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]] | Filtered:
        """An entry for the clean and the corrupted run, and one for each patch."""
        modalities = self._corrupted_modalities(row)
        if not modalities:
            return Filtered("no_deciding_modality", "the data set does not say which modality decides the question.")
        with kept(self.decoder, self.site) as states:
            (clean,) = self.answers(row, clip)
        reading = self.reading(clean)
        kinds = reading.plain_kinds[0, : reading.prompt]
        if len(modalities) == 1 and not mixed(kinds):
            return Filtered("one_chunk", "the clip is one chunk: no video token stands after a sound token.")
        run = CorruptedRun(self, row, clean, modalities, kinds, torch.stack(states))
        ((corrupted, _),) = run.answers([None])
        options = self._options(row, clean, corrupted)
        if isinstance(options, Filtered):
            return options
        return self._entries(row, run, reading, corrupted, options, object_tokens(self.objects, row, clip, reading))

    def _entries(
        self,
        row: Row,
        run: CorruptedRun,
        reading: Reading,
        corrupted: Answered,
        options: list[list[int]],
        things: dict[str, frozenset[int]],
    ) -> list[dict[str, Any]]:
        whole = Odds(options)
        self.model.sample([run.clean.request], (), whole)
        ((_, broken),) = run.answers([None], options)
        found, _ = sinks_of(reading, self.decoder, self.sinks, str(self.model.model.config.model_type))
        base = {"corrupted": "+".join(run.modalities), "whole": whole.values[0], "broken": broken}
        entries = [run.clean.row() | _patch("clean") | base | {"restored": whole.values[0]}]
        entries.append(corrupted.row() | _patch("corrupt") | base | {"restored": broken})
        count = len(self.decoder.layers)
        wanted = [
            (name, Patch(positions, layers))
            for name, positions in self._chosen(row, run.kinds, found, things)
            for layers in [(0, count), *spans(count, self.window, self.step)]
        ]
        answers = run.answers([patch for _, patch in wanted], options)
        for (name, patch), (answered, restored) in zip(wanted, answers, strict=True):
            said = _patch(name, *patch.layers, int(patch.positions.sum())) | base | {"restored": restored}
            entries.append(answered.row() | said)
        if self.each:
            effects = self._each(run, options, group_names(found, things))
            entries.append(run.clean.row() | _patch("each", 0, count, 1) | base | effects)
        return entries

    def _each(self, run: CorruptedRun, options: list[list[int]], groups: dict[int, str]) -> dict[str, Any]:
        """Blocks of media tokens, each patched alone in all layers."""
        count = len(self.decoder.layers)
        media = members(run.kinds, (Kind.AUDIO, Kind.VIDEO)).nonzero()[:, 0].tolist()
        blocks = [media[i : i + self.each] for i in range(0, len(media), self.each)]
        nothing = torch.zeros_like(run.kinds, dtype=torch.bool)
        patches: list[Patch | None] = [Patch(_at(block, nothing), (0, count)) for block in blocks]
        restored = [values for _, values in run.answers(patches, options)]
        return {
            "restored": None,
            "tokens": [
                {"positions": block, "groups": [groups.get(p, "rest") for p in block], "restored": values}
                for block, values in zip(blocks, restored, strict=True)
            ],
        }

    def _corrupted_modalities(self, row: Row) -> tuple[str, ...]:
        if self.corrupt == "deciding":
            pem = pem_of(row["stated_modality"])
            return () if pem is None else _DECIDES[pem]
        return ("audio", "video") if self.corrupt == "both" else (self.corrupt,)

    def _options(self, row: Row, clean: Answered, corrupted: Answered) -> list[list[int]] | Filtered:
        """First tokens of both answers, in two spellings each."""
        if clean.answer is None or corrupted.answer is None:
            return Filtered("unreadable", "the clean or the corrupted run gave no readable answer.")
        if fold(clean.answer) == fold(corrupted.answer):
            return Filtered("same_answer", f"clean and corrupted both answer {clean.answer!r}: nothing to restore.")
        reading = self.reading(clean)
        at = place_of_answer(reading.tokens, self.spec.prompt)
        written = None if at is None else forms(at[1].strip(), row["choices"], clean.answer, corrupted.answer)
        if written is None:
            return Filtered("answer_not_placed", "the clean response writes neither a choice nor its letter.")
        options = [spellings(self.model.processor.tokenizer, w) for w in written]
        if set(options[0]) & set(options[1]):
            return Filtered("same_first_token", f"{written[0]!r} and {written[1]!r} begin with one token.")
        return options

    def _chosen(
        self, row: Row, kinds: Tensor, found: Sinks, things: dict[str, frozenset[int]]
    ) -> Iterator[tuple[str, Tensor]]:
        """Token sets by name, empty ones left out."""
        media = members(kinds, (Kind.AUDIO, Kind.VIDEO))
        rng = random.Random(derive_seed(self.spec.seed, "trace", self.row_id(row)))
        for name in self.sets:
            if name in ("audio", "video", "text"):
                positions = members(kinds, GROUPS[name])
            elif name == "all":
                positions = torch.ones_like(media)
            elif name == "random":
                positions = _at(rng.sample(media.nonzero()[:, 0].tolist(), len(found.chosen)), media)
            elif name == "rest":
                positions = media & ~_at(found.chosen, media)
            else:
                chosen = {"sinks": found.chosen, "uni": found.uni, "cross": found.cross, **things}[name]
                positions = _at(sorted(chosen), media)
            if positions.any():
                yield name, positions


class CorruptedRun:
    """The question on the corrupted clip, with or without a patch."""

    def __init__(
        self,
        stage: TraceStage,
        row: Row,
        clean: Answered,
        modalities: tuple[str, ...],
        kinds: Tensor,
        states: Tensor,
    ) -> None:
        self.stage, self.row, self.clean, self.modalities, self.kinds = stage, row, clean, modalities, kinds
        self.states = states
        seed = derive_seed(stage.spec.seed, "corrupt", stage.row_id(row))
        self.request = corrupted_request(clean.request, modalities, stage.how, seed)
        wanted = tuple(Kind.AUDIO if m == "audio" else Kind.VIDEO for m in modalities)
        self.averaged = members(kinds, wanted) if stage.how == "mean" else None

    def answers(
        self, patches: Sequence[Patch | None], options: Sequence[Sequence[int]] = ()
    ) -> list[tuple[Answered, list[float]]]:
        """The model's answer under each patch, and the probability of the options.

        Only patches of this question share a batch, in their order, so that results depend on nothing else.

        Raises:
            RowError: the corrupted prompt has other tokens, so that positions do not correspond.
        """
        size = min(TOGETHER, self.stage.model.max_sequences)
        groups = [patches[i : i + size] for i in range(0, len(patches), size)]
        return [answer for group in groups for answer in self._together(group, options)]

    def _together(
        self, patches: Sequence[Patch | None], options: Sequence[Sequence[int]]
    ) -> list[tuple[Answered, list[float]]]:
        stage, odds = self.stage, Odds(options, len(patches))
        nothing = Patch(torch.zeros_like(self.kinds, dtype=torch.bool), (0, 0))
        with ExitStack() as hooks:
            hooks.enter_context(averaged(stage.decoder, self.averaged))
            if any(p is not None for p in patches):
                everywhere = [nothing if p is None else p for p in patches]
                hooks.enter_context(patched(stage.decoder, stage.site, self.states, everywhere))
            sampled = stage.model.sample([self.request] * len(patches), (), odds if options else None)
        if sampled.prompts.shape[1] != len(self.kinds):
            raise RowError(
                "prompts_differ",
                f"the corrupted prompt has {sampled.prompts.shape[1]} tokens, the clean one {len(self.kinds)}.",
                "Corrupt with --how mean.",
            )
        answered = (
            stage.answered(self.row, self.clean.condition, self.request, written) for written in sampled.written
        )
        return list(zip(answered, odds.values, strict=True))


def corrupted_request(request: Request, modalities: Sequence[str], how: str, seed: int) -> Request:
    """The request with sound or frames zeroed, or replaced by noise as loud as the sound; ``mean`` leaves them."""
    if how == "mean":
        return request
    rng = np.random.default_rng(seed)
    audio, frames = request.audio, request.frames
    if "audio" in modalities and audio is not None:
        loudness = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
        noise = rng.standard_normal(audio.shape, dtype=np.float32) * np.float32(loudness)
        audio = np.zeros_like(audio) if how == "zero" else noise
    if "video" in modalities and frames is not None:
        noise_frames = rng.integers(0, 256, frames.shape, dtype=np.uint8)
        frames = np.zeros_like(frames) if how == "zero" else noise_frames
    media = f"{request.media_id}/{'+'.join(modalities)}-{how}-{seed}"
    return replace(request, audio=audio, frames=frames, media_id=media)


def spellings(tokenizer: Any, word: str) -> list[int]:
    """The first token of a word, alone and after a space."""
    encoded = (tokenizer.encode(space + word, add_special_tokens=False) for space in ("", " "))
    firsts = {int(ids[0]) for ids in encoded if ids}
    # a tokenizer that writes the space as a token of its own would match every word
    return sorted(i for i in firsts if tokenizer.decode([i]).strip())


def mixed(kinds: Tensor) -> bool:
    """Whether some video token stands after a sound token and some sound token after a video token."""
    audio, video = (members(kinds, (k,)).nonzero()[:, 0] for k in (Kind.AUDIO, Kind.VIDEO))
    if not len(audio) or not len(video):
        return False
    return bool(audio.min() < video.max()) and bool(video.min() < audio.max())


def spans(layers: int, window: int, step: int) -> list[tuple[int, int]]:
    """Windows of layers (first, end), the last one ending at the last layer; none for a size of 0 or of all layers."""
    if not 0 < window < layers:
        return []
    starts = list(range(0, layers - window + 1, step))
    if starts[-1] + window < layers:
        starts.append(layers - window)
    return [(s, s + window) for s in starts]


def group_names(found: Sinks, things: dict[str, frozenset[int]]) -> dict[int, str]:
    """``uni`` or ``cross`` of each sink, ``object`` of other tokens at which something known is."""
    objects = {p: "object" for p in things["objects"]}
    return objects | {p: "uni" for p in found.uni} | {p: "cross" for p in found.cross}


def _at(positions: Sequence[int], like: Tensor) -> Tensor:
    chosen = torch.zeros_like(like)
    chosen[list(positions)] = True
    return chosen


def _patch(name: str, first: int | None = None, end: int | None = None, patched: int = 0) -> dict[str, Any]:
    return {"set": name, "first": first, "end": end, "patched": patched, "tokens": []}
