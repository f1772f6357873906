"""Qwen2.5-Omni (arXiv 2503.20215)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.families.base import Sound
from avcurate.families.qwen_omni import QWEN_TOKENS, QwenOmni

RATE = 16_000


class Qwen25Omni(QwenOmni):
    """25 audio tokens a second. Its extractor pads to a chunk of 300 s, so a partial hop counts as a frame."""

    name = "qwen2_5_omni"
    about = "Qwen2.5-Omni"
    model_class = "Qwen2_5OmniThinkerForConditionalGeneration"
    architecture = "Qwen2_5OmniModel"
    pixels = (128 * 28 * 28, 768 * 28 * 28)
    unused = r".*audio_bos_eos_token\.weight"
    special_tokens = QWEN_TOKENS | {
        *("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|IMAGE|>", "<|VIDEO|>", "<|vision_bos|>", "<|vision_eos|>"),
        *("<|vision_pad|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>", "<tts_text_bos_single>"),
    }

    def audio_tokens(self, samples: int) -> int | None:
        """Two strided convolutions over frames of one hop."""
        if "hop_length" not in self.description.extractor:
            return None
        hop = int(self.description.extractor["hop_length"])
        frames = -(-samples // hop)
        return ((frames - 1) // 2 + 1 - 2) // 2 + 1

    def processor_arguments(
        self, audios: Sequence[Sound], videos: Sequence[NDArray[np.uint8]], fps: float, interleaved: bool
    ) -> dict[str, Any]:
        """Silence for a second or two after the sound instead of up to 300 s: the same features, bit for bit.

        A frame's window reaches 200 samples ahead, and loudness is measured against the loudest frame.
        """
        arguments = super().processor_arguments(audios, videos, fps, interleaved)
        if audios:
            arguments["audio_kwargs"]["max_length"] = (max(map(len, audios)) // RATE + 2) * RATE
        return arguments
