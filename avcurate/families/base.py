"""What a family file provides: token counts, whole hops of sound, special tokens, the class that loads it.

Knows configuration values and shapes; loads no weights and imports neither transformers nor vLLM.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Description:
    """What a checkpoint's files say: ``config.json``, its audio feature extractor, and our ``avcurate.json``."""

    config: Config
    extractor: Config
    profile: Config

    @property
    def thinker(self) -> Config:
        """Configuration of the part that reads and answers."""
        config: Config = self.config.get("thinker_config", self.config)
        return config


class Family(ABC):
    """One model family, for one checkpoint.

    ``version`` goes up when what reaches the model from the same clip changes: stored responses are then stale.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    about: ClassVar[str]
    model_class: ClassVar[str]
    """Class in transformers that loads the thinker."""
    whole_hop: ClassVar[int] = 1
    """Samples that a waveform is padded to a multiple of before any engine sees it."""
    part: ClassVar[str] = ""
    """Where the released checkpoint holds more than the part that reads and answers: that part's name in its
    configuration and in front of its weights (``thinker``); trained weights are saved in that layout, which every
    engine loads."""
    architecture: ClassVar[str] = ""
    """The released checkpoint's class."""
    special_tokens: ClassVar[frozenset[str]] = frozenset()
    """Special tokens known without the tokenizer's files, for models behind a server."""

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
