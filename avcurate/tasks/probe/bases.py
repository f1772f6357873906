"""What ``probe shift`` compares with: the same model without a modality, or another that shares its tokenizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.loading import loading
from avcurate.engines.text_engine import TextEngine
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.errors import UserError
from avcurate.tasks.probe.reading import Reading
from avcurate.train.omni import Omni

WITHOUT = "without-"


class Base(ABC):
    """A second model, or the same one shown less."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Which."""

    def setup(self) -> None:  # noqa: B027
        """Load it."""

    @abstractmethod
    def logits(self, reading: Reading) -> Tensor:
        """Logits (T, V) of the tokens of a response that the model being read gave."""

    def close(self) -> None:  # noqa: B027
        """Free it."""


def base_of(name: str, dtype: str) -> Base:
    """The base of that name.

    Raises:
        UserError: there is none.
    """
    if name.startswith(WITHOUT):
        modality = name.removeprefix(WITHOUT)
        if modality not in ("audio", "video", "both"):
            raise UserError(f"there is no base {name!r}.", "Use without-audio, without-video or without-both.")
        return Without(modality)
    checkpoint = Checkpoint(name)
    if checkpoint.reads_text_alone:
        return TextModel(TextEngine(checkpoint, dtype=dtype))
    if "vision_config" in checkpoint.config and "audio_config" not in str(checkpoint.config):
        return VisionModel(checkpoint, dtype)
    return OmniModel(TransformersEngine(checkpoint, dtype=dtype))


class Without(Base):
    """The same model, its prompt rebuilt without a modality."""

    def __init__(self, modality: str) -> None:
        self.modality = modality

    def identity(self) -> dict[str, Any]:
        """The modality."""
        return {"without": self.modality}

    def logits(self, reading: Reading) -> Tensor:
        """The response after the shorter prompt."""
        r = reading.request
        less = replace(
            r,
            audio=None if self.modality in ("audio", "both") else r.audio,
            frames=None if self.modality in ("video", "both") else r.frames,
            interleaved=False,
        )
        return Reading(reading.omni, less, reading.ids[0].tolist()).logits()


class OmniModel(Base):
    """Another checkpoint of a known family, shown the same."""

    def __init__(self, engine: TransformersEngine) -> None:
        self.engine = engine

    def identity(self) -> dict[str, Any]:
        """The checkpoint."""
        return self.engine.identity()

    def setup(self) -> None:
        """Load it."""
        self.engine.setup()
        self.omni = Omni(self.engine)

    def logits(self, reading: Reading) -> Tensor:
        """The response after the same prompt."""
        ids = reading.ids[0].tolist()
        refuse_other_words(reading, self.engine.decode(ids), self.engine.checkpoint.model)
        return Reading(self.omni, reading.request, ids).logits()

    def close(self) -> None:
        """Drop it."""
        self.engine.close()


class TextModel(Base):
    """A language model, which reads the question alone."""

    def __init__(self, engine: TextEngine) -> None:
        self.engine = engine

    def identity(self) -> dict[str, Any]:
        """The checkpoint."""
        return self.engine.identity()

    def setup(self) -> None:
        """Load it."""
        self.engine.setup()

    def logits(self, reading: Reading) -> Tensor:
        """The response after the prompt's text."""
        engine, ids = self.engine, reading.ids
        text = engine.tokenizer.decode(ids[0], skip_special_tokens=True)
        refuse_other_words(reading, text, engine.checkpoint.model)
        prompt = engine.tokenizer(engine.prompt(reading.request), return_tensors="pt", add_special_tokens=False)
        whole = torch.cat([prompt["input_ids"].to(ids.device), ids], 1)
        with torch.inference_mode():
            logits: Tensor = engine.model(input_ids=whole, use_cache=False).logits
        return logits[0, -ids.shape[1] - 1 : -1]

    def close(self) -> None:
        """Drop it."""
        self.engine.close()


class VisionModel(Base):
    """A vision-language model through transformers' own classes; it sees the frames and hears nothing."""

    def __init__(self, checkpoint: Checkpoint, dtype: str) -> None:
        self.checkpoint, self.dtype = checkpoint, dtype

    def identity(self) -> dict[str, Any]:
        """The checkpoint."""
        return {**self.checkpoint.identity(), "dtype": self.dtype}

    def setup(self) -> None:
        """Load it (safetensors only, no remote code)."""
        import transformers

        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = getattr(torch, self.dtype) if self.dtype != "auto" else torch.float32 if device == "cpu" else "auto"
        options = {"revision": self.checkpoint.pinned, "trust_remote_code": False}
        with loading(f"the base model {self.checkpoint.model}", "Check --base."):
            self.processor = transformers.AutoProcessor.from_pretrained(self.checkpoint.path, **options)
            self.model = transformers.AutoModelForImageTextToText.from_pretrained(
                self.checkpoint.path, dtype=dtype, use_safetensors=True, **options
            )
        self.model.eval().to(device)

    def logits(self, reading: Reading) -> Tensor:
        """The response after the frames and the question."""
        r, ids = reading.request, reading.ids
        text = self.processor.tokenizer.decode(ids[0], skip_special_tokens=True)
        refuse_other_words(reading, text, self.checkpoint.model)
        content = [*([{"type": "video"}] if r.frames is not None else []), {"type": "text", "text": r.prompt}]
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        shown = {}
        if r.frames is not None:
            count = len(r.frames)
            # without it the processor would take 24 frames a second for granted, whatever fps says
            when = {
                "total_num_frames": count,
                "fps": r.fps,
                "duration": count / r.fps,
                "frames_indices": [*range(count)],
            }
            shown = {"videos": [r.frames], "videos_kwargs": {"do_sample_frames": False, "video_metadata": [when]}}
        inputs = self.processor(text=[prompt + r.prefix], **shown, return_tensors="pt")
        inputs = {k: v.to(self.model.device) for k, v in inputs.items() if hasattr(v, "to")}
        inputs["input_ids"] = torch.cat([inputs["input_ids"], ids.to(self.model.device)], 1)
        for name, filler in (("attention_mask", 1), ("mm_token_type_ids", 0)):
            if name in inputs:
                more = torch.full_like(ids, filler).to(inputs[name])
                inputs[name] = torch.cat([inputs[name], more], 1)
        with torch.inference_mode():
            logits: Tensor = self.model(**inputs, use_cache=False).logits
        return logits[0, -ids.shape[1] - 1 : -1].to(ids.device)

    def close(self) -> None:
        """Drop it."""
        self.model = self.processor = None


def refuse_other_words(reading: Reading, text: str, model: str) -> None:
    """Refuse a base to which the same token ids are other words: its probabilities would be of something else.

    Raises:
        UserError: its tokenizer is another.
    """
    if text != reading.omni.decode(reading.ids[0].tolist()):
        raise UserError(
            f"{model} reads a response's tokens as other words: it has another tokenizer.",
            "Name a base model of the same family, e.g. Qwen2.5-VL for Qwen2.5-Omni.",
        )
