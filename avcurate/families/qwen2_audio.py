"""Qwen2-Audio (arXiv 2407.10759)."""

from __future__ import annotations

from typing import ClassVar

from avcurate.families.base import Feature
from avcurate.families.qwen_omni import QWEN_TOKENS
from avcurate.families.whisper_audio import WhisperAudio


class Qwen2Audio(WhisperAudio):
    """Hears thirty seconds, no more."""

    name = "qwen2_audio"
    about = "Qwen2-Audio"
    model_class = "Qwen2AudioForConditionalGeneration"
    architecture = "Qwen2AudioForConditionalGeneration"
    longest_sound = 30.0
    features: ClassVar = {"input_features": Feature("audio"), "feature_attention_mask": Feature("audio")}
    special_tokens = QWEN_TOKENS | {"<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"}
