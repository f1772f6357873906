"""An omni model in training: rollouts, and forward passes that hear and see what the rollouts did.

Everything that depends on processors and model classes is in the transformers engine; here completions are appended to
its prompts, on the right, and the modality is removed for the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from avcurate.attention.function import bare, switch_on
from avcurate.attention.plan import Plan
from avcurate.attention.read import Mass
from avcurate.engines.base import Request
from avcurate.engines.head import logits_from
from avcurate.engines.transformers_engine import FLOATS, TransformersEngine
from avcurate.families.base import Family, Feature, Unit
from avcurate.families.tokens import Modality
from avcurate.maam.attention import batch_mask, for_model
from avcurate.maam.mask import Scope
from avcurate.maam.traces import decoded_traces, offsets_of
from avcurate.train.core.relevance import entropy


class Omni:
    """The engine's model and processor, for training.

    Args:
        engine: already set up; its model is the one that is trained.
    """

    def __init__(self, engine: TransformersEngine) -> None:
        self.engine = engine
        self.tokens = engine.tokens
        self.decoder_layers = int(engine.text_config.num_hidden_layers)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a completion."""
        return self.engine.decode(ids)

    def rollouts(self, requests: list[Request], forward: Any = None) -> list[list[int]]:
        """Token ids of all responses, in request order, a request's responses adjacent.

        Placeholder ids are never sampled; each response has its own seed.

        Args:
            forward: what is called to run the model; ``None``: the model itself.
        """
        model = self.engine.model
        self.engine.wrapper = forward
        training = model.training
        model.eval()
        responses: list[list[int]] = []
        try:
            for group in _alike(requests):
                count = max(1, self.engine.max_sequences // max(r.n for r in group))
                for first in range(0, len(group), count):
                    responses += self.engine.sample(group[first : first + count]).written
        finally:
            model.train(training)
            self.engine.wrapper = None
        return responses

    def prompts(self, requests: list[Request]) -> list[list[int]]:
        """Token ids of the prompts, media included, as :meth:`forward` reads them."""
        token_ids: list[list[int]] = []
        for group in _alike(requests):
            inputs = self.engine.inputs(group)
            for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
                token_ids.append(ids[mask.bool()].tolist())
        return token_ids

    def forward(
        self,
        model: Any,
        requests: list[Request],
        completions: Tensor,
        mask: Tensor,
        capture: tuple[Modality, frozenset[int]] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logits that predict the completions' tokens, and the attention mass of their queries.

        Args:
            model: the trained model, possibly wrapped, or a reference; called with keyword arguments.
            requests: the prompts, one per completion, all at one frame rate.
            completions: int64 (B, T), right-padded; mask: (B, T).
            capture: modality and layers whose attention is watched.

        Returns:
            (B, T, V), and (B, T) in [0, 1], empty without ``capture``. Under MAAM if the engine decodes under it.
        """
        if capture is not None:
            switch_on(model)
        inputs = self.batch(requests, completions, mask)
        prompt = inputs["input_ids"].shape[1] - completions.shape[1]
        if capture is None:
            logits = self.run(model, inputs, prompt)
            return logits, logits.new_empty(0)
        watched = Mass(self.tokens.where(inputs["input_ids"], capture[0]), prompt - 1, capture[1])
        logits = self.run(model, inputs, prompt, Plan(readers=[watched]))
        return logits, watched.mass()[:, :-1]

    def run(self, model: Any, inputs: dict[str, Any], prompt: int, plan: Plan | None = None) -> Tensor:
        """Logits (B, T, V) that predict the T tokens after position ``prompt``, of inputs made by :meth:`batch`.

        A plan needs a model that was switched to avcurate's attention.
        """
        planned = {} if plan is None else {"plan": plan}
        # a reference may have another number format than the engine's model
        inputs = {k: v.to(bare(model).dtype) if k in FLOATS else v for k, v in inputs.items()}
        with logits_from(bare(model), prompt - 1):
            logits: Tensor = model(**self.engine.family.encoded(bare(model), inputs), use_cache=False, **planned).logits
        return logits[:, :-1]

    def batch(self, requests: list[Request], completions: Tensor, mask: Tensor) -> dict[str, Any]:
        """Model inputs for prompts with completions (B, T): tokens, media, positions and mask."""
        inputs = self._inputs(requests)
        prompt, device = inputs["input_ids"].shape[1], inputs["input_ids"].device
        inputs["input_ids"] = torch.cat([inputs["input_ids"], completions.to(device)], 1)
        inputs["attention_mask"] = torch.cat([inputs["attention_mask"], mask.to(device).long()], 1)
        if "mm_token_type_ids" in inputs:
            text = torch.zeros_like(completions, device=device)
            inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], text], 1)
        self._refuse_lost_media(inputs)
        family, config = self.engine.family, self.engine.text_config
        inputs["position_ids"] = family.positions(self.engine.model, inputs, any(r.interleaved for r in requests))
        if self.engine.maam is not None:
            kind = config._attn_implementation
            allowed = self._masked(inputs["input_ids"], inputs["attention_mask"], prompt, self.engine.maam)
            layered = family.layered(config, allowed)
            inputs["attention_mask"] = (
                {name: for_model(m, kind) for name, m in layered.items()}
                if isinstance(layered, dict)
                else for_model(layered, kind)
            )
        return inputs

    def _refuse_lost_media(self, inputs: dict[str, Any]) -> None:
        """Placeholders without features raise no error in any family: the model would train deaf or blind."""
        for modality, count in zip(("audio", "video"), self.tokens.count(inputs["input_ids"]), strict=True):
            wanted = {name for name, f in self.engine.family.features.items() if f.of == modality}
            # frame rates are optional; the features themselves are not
            if count and not any(name in inputs for name in wanted if "features" in name or "pixel" in name):
                raise RuntimeError(f"the prompt has {count} {modality} tokens, but its features are missing.")

    def _masked(self, ids: Tensor, mask: Tensor, prompt: int, scope: Scope) -> Tensor:
        """The MAAM mask of prompts with completions, as in decoding."""
        traces = []
        for row, count in zip(ids[:, prompt:].tolist(), mask[:, prompt:].sum(1).tolist(), strict=True):
            text, ends = offsets_of(row[: int(count)], self.decode)
            traces.append(decoded_traces(text, ends, prompt))
        audio, video = (self.tokens.where(ids, kind) for kind in ("audio", "video"))
        return batch_mask(mask, audio, video, traces, scope)

    def _inputs(self, requests: list[Request]) -> dict[str, Any]:
        """The engine's inputs for the requests; rollouts of one question go through the processor once."""
        distinct = list({id(r): r for r in requests}.values())
        place = {id(r): i for i, r in enumerate(distinct)}
        return repeated(self.engine.inputs(distinct), distinct, [place[id(r)] for r in requests], self.engine.family)

    def entropy_without(
        self,
        model: Any,
        requests: list[Request],
        completions: Tensor,
        mask: Tensor,
        modality: Modality,
        temperature: float = 1.0,
    ) -> Tensor:
        """Entropies (B, T) of a model that reads the same completions after prompts without a modality.

        The prompt is rebuilt without it, so neither its placeholders nor its markers are left, and the rest keeps the
        positions it would have had.
        """
        drop_audio, drop_video = modality in ("audio", "both"), modality in ("video", "both")
        bare = {
            id(r): replace(
                r,
                audio=None if drop_audio else r.audio,
                frames=None if drop_video else r.frames,
                interleaved=False,
            )
            for r in requests
        }
        with torch.no_grad():
            logits, _ = self.forward(model, [bare[id(r)] for r in requests], completions, mask)
            return entropy(logits, temperature)


def repeated(inputs: dict[str, Any], requests: list[Request], owner: list[int], family: Family) -> dict[str, Any]:
    """Repeat a processor's output for ``requests`` as if it were given ``requests[i]`` for each i of ``owner``.

    What is stored end to end, such as a video's patches, is taken as one piece for each item.
    """
    media: dict[str, list[Any]] = {"audio": [r.audio for r in requests], "video": [r.frames for r in requests]}
    output: dict[str, Any] = {}
    for name, value in inputs.items():
        feature = Feature("text") if name in ("input_ids", "attention_mask") else family.features.get(name)
        if feature is None:
            raise RuntimeError(f"the processor returned {name}, which {family.name} does not know how to repeat.")
        if feature.of == "text":
            output[name] = value[owner]
            continue
        place = {i: n for n, i in enumerate(i for i, m in enumerate(media[feature.of]) if m is not None)}
        taken = [place[i] for i in owner if i in place]
        if feature.unit == "item":
            output[name] = value[taken] if hasattr(value, "shape") else [value[i] for i in taken]
            continue
        pieces = value.split(_sizes(feature.unit, inputs, requests, family))
        output[name] = torch.cat([pieces[i] for i in taken])
    return output


def _sizes(unit: Unit, inputs: dict[str, Any], requests: list[Request], family: Family) -> list[int]:
    """How many of that unit each item takes."""
    if unit == "patches":
        return list(inputs["video_grid_thw"].prod(-1).tolist())
    if unit == "frames":
        return list(inputs["num_frames_per_video"].tolist())
    return [family.windows(len(r.audio)) for r in requests if r.audio is not None]


def _alike(requests: list[Request]) -> list[list[Request]]:
    """Runs of consecutive requests with one frame rate and sampling."""
    runs: list[list[Request]] = []
    for r in requests:
        if runs and (runs[-1][0].fps, runs[-1][0].sampling) == (r.fps, r.sampling):
            runs[-1].append(r)
        else:
            runs.append([r])
    return runs


def log_probabilities(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probabilities (B, T) of the sampled tokens from logits (B, T, V), at the temperature they were drawn at."""
    scaled = logits.float() / temperature
    return scaled.gather(-1, tokens[..., None]).squeeze(-1) - scaled.logsumexp(-1)
