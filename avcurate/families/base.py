"""What a family file provides: token counts, limits, processor arguments, positions, what training has to know.

Knows configuration values and shapes; loads no weights and imports neither torch, transformers nor vLLM. Models,
processors and tensors that a method takes are the caller's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Config = Mapping[str, Any]
Sound = NDArray[np.float32]
Of = Literal["text", "audio", "video"]
Unit = Literal["item", "patches", "frames", "windows"]


@dataclass(frozen=True)
class Description:
    """What a checkpoint's files say.

    Attributes:
        config: ``config.json``.
        extractor: its audio feature extractor.
        profile: our ``avcurate.json``, how media are fed to it; only our checkpoints have one.
        frames: its video processor.
    """

    config: Config
    extractor: Config
    profile: Config
    frames: Config = field(default_factory=dict)

    @property
    def thinker(self) -> Config:
        """Configuration of the part that reads and answers."""
        config: Config = self.config.get("thinker_config", self.config)
        return config


@dataclass(frozen=True)
class Feature:
    """One entry of a processor's output.

    Attributes:
        of: the modality it carries.
        unit: what its first axis counts: one for each ``item``, or ``patches``, ``frames`` or ``windows`` of all
            items end to end.
    """

    of: Of
    unit: Unit = "item"


class Family(ABC):
    """One model family, for one checkpoint.

    ``version`` goes up when what reaches the model from the same clip changes: stored responses are then stale.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    about: ClassVar[str]
    model_class: ClassVar[str]
    """Class in transformers that loads the part that reads and answers."""
    hears: ClassVar[bool] = True
    sees: ClassVar[bool] = True
    interleaves: ClassVar[bool] = False
    """Whether sound can go inside the video item, aligned in time."""
    masks_parts: ClassVar[bool] = True
    """Whether responses can be decoded under MAAM."""
    longest_sound: ClassVar[float] = math.inf
    """Seconds of sound that reach the model; its processors drop the rest without a word."""
    not_in: ClassVar[Mapping[str, str]] = {}
    """Engines in which it cannot run, each with the reason."""
    whole_hop: ClassVar[int] = 1
    """Samples that a waveform is padded to a multiple of before any engine sees it."""
    mixed_batches: ClassVar[bool] = True
    """Whether the processor takes texts with and without media in one call."""
    part: ClassVar[str] = ""
    """Where the released checkpoint holds more than the part that reads and answers: that part's name in its
    configuration and in front of its weights (``thinker``); trained weights are saved in that layout, which every
    engine loads."""
    architecture: ClassVar[str] = ""
    """The released checkpoint's class."""
    special_tokens: ClassVar[frozenset[str]] = frozenset()
    """Special tokens known without the tokenizer's files, for models behind a server."""
    audio_ids: ClassVar[tuple[str, str, str]] = ("audio_token_id", "audio_start_token_id", "audio_end_token_id")
    video_ids: ClassVar[tuple[str, str, str]] = ("video_token_id", "vision_start_token_id", "vision_end_token_id")
    """Configuration fields with the ids of a modality's placeholder and of the marks around it."""
    other_ids: ClassVar[tuple[str, ...]] = ("image_token_id",)
    """Further fields with ids that may not be sampled: a placeholder without media breaks the next reader."""
    features: ClassVar[Mapping[str, Feature]]
    """The processor's output, beside token ids and their mask."""
    lora_targets: ClassVar[str] = r".*(?:^|\.)(?:language_model|model)\.layers\.\d+\.(?:self_attn|mlp)\..*_proj"
    """Linear layers of the text decoder; towers share their names and are left alone."""
    unused: ClassVar[str] = ""
    """Weights that no forward pass of the part that reads and answers uses, a pattern for their whole names."""

    def __init__(self, description: Description) -> None:
        self.description = description

    @abstractmethod
    def audio_tokens(self, samples: int) -> int | None:
        """Tokens of a waveform at 16 kHz that was padded by :meth:`whole`; ``None`` where the files do not say."""

    @abstractmethod
    def video_tokens(self, frames: int, height: int, width: int) -> int | None:
        """Tokens of frames (T, H, W); ``None`` where the files do not say."""

    def whole(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """The waveform padded with silence to a whole number of hops, float32 (S,).

        Processors treat a partial last hop differently, and the same processor depends on what else is in the batch.
        Padded before any of them sees it, a clip costs the same tokens everywhere.
        """
        missing = -len(audio) % self.whole_hop
        return np.pad(audio, (0, missing)) if missing else audio

    @property
    def video_size(self) -> dict[str, Any]:
        """Arguments with which every processor resizes frames the same way; only our checkpoints have some."""
        size = self.description.profile.get("video_size")
        return {"size": size} if size else {}

    def processor_arguments(
        self, audios: Sequence[Sound], videos: Sequence[NDArray[np.uint8]], fps: float, interleaved: bool
    ) -> dict[str, Any]:
        """Arguments of the processor in transformers, beside texts, sounds (each (S,)) and videos ((T, H, W, 3))."""
        return {
            "text_kwargs": {"padding": True, "padding_side": "left", "add_special_tokens": False},
            "audio_kwargs": {"sampling_rate": 16_000},
        }

    def request_arguments(self, fps: float, interleaved: bool) -> dict[str, Any]:
        """Processor arguments that go with one request that shows frames, in vLLM and to its servers."""
        return {}

    def positions(self, model: Any, inputs: dict[str, Any], interleaved: bool) -> Any:
        """Positions of every token: int64 (B, L), or (3, B, L) in time, height and width.

        ``inputs`` are the processor's, maybe with responses appended to ids and mask; entries that the model's
        forward does not take are removed from them.
        """
        return inputs["attention_mask"].long().cumsum(-1).sub(1).clamp(min=0)

    def encoded(self, model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs as the model's forward takes them; ``model`` is the bare model."""
        return inputs

    def layered(self, config: Any, allowed: Any) -> Any:
        """A MAAM mask, bool (B, 1, Q, K), as the decoder's layers take it; ``config`` is the text decoder's."""
        return allowed

    def refuse_masking(self, config: Any) -> str | None:
        """Why a checkpoint of the family cannot be read under MAAM, if so; ``config`` is the text decoder's."""
        return None if self.masks_parts else f"{self.about} hears only: there is nothing for MAAM to mask"

    def windows(self, samples: int) -> int:
        """Rows of audio features that a sound of that many samples takes."""
        return 1

    def released_name(self, weight: str) -> str:
        """A weight's name in the released checkpoint's layout."""
        prefix = f"{self.part}." if self.part else ""
        return weight if weight.startswith(prefix) else prefix + weight


def smart_resize(height: int, width: int, unit: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Size a frame is resized to: multiples of ``unit``, pixels within bounds, aspect ratio nearly kept."""
    h, w = round(height / unit) * unit, round(width / unit) * unit
    if h * w > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        h = max(unit, math.floor(height / beta / unit) * unit)
        w = max(unit, math.floor(width / beta / unit) * unit)
    elif h * w < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        h = math.ceil(height * beta / unit) * unit
        w = math.ceil(width * beta / unit) * unit
    return h, w
