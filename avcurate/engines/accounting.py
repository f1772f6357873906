"""How many audio and video tokens a clip must cost, worked out from the checkpoint's configuration.

Independent of any engine's own code, so that an engine that loses a modality is caught. Knows the
two Qwen-Omni families; other models are checked for presence and for agreement between settings.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.engines.base import Request


@dataclass(frozen=True)
class TokenMath:
    """The constants that decide token counts."""

    family: str
    hop: int
    patch: int
    merge: int
    temporal: int
    min_pixels: int
    max_pixels: int

    def audio(self, samples: int) -> int:
        """Tokens of a waveform at 16 kHz."""
        if self.family == "qwen2_5_omni":
            # its extractor pads to a whole chunk, so a last, partial hop counts as a frame
            frames = -(-samples // self.hop)
            return ((frames - 1) // 2 + 1 - 2) // 2 + 1
        # Qwen3-Omni: blocks of 100 frames give 13 tokens each
        frames = samples // self.hop
        left = frames % 100
        after = (left - 1) // 2 + 1
        tail = ((after - 1) // 2 + 1 - 1) // 2 + 1 if left else 0
        return tail + frames // 100 * 13

    def video(self, frames: int, height: int, width: int) -> int:
        """Tokens of a clip of ``frames`` frames."""
        unit = self.patch * self.merge
        h, w = smart_resize(height, width, unit, self.min_pixels, self.max_pixels)
        return math.ceil(frames / self.temporal) * (h // unit) * (w // unit)

    def of(self, request: Request) -> tuple[int, int]:
        """(audio tokens, video tokens) of a request."""
        audio = 0 if request.audio is None else self.audio(len(request.audio))
        video = 0 if request.frames is None else self.video(*request.frames.shape[:3])
        return audio, video


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


def load_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where the file is missing."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
