"""Audio Flamingo 3 (arXiv 2507.08128)."""

from __future__ import annotations

from typing import ClassVar

from avcurate.families.base import Feature
from avcurate.families.qwen_omni import QWEN_TOKENS
from avcurate.families.whisper_audio import WhisperAudio

WINDOW = 30 * 16_000


class AudioFlamingo3(WhisperAudio):
    """Hears ten minutes, in windows of thirty seconds; one sound for each text, so no text without sound beside one."""

    name = "audioflamingo3"
    about = "Audio Flamingo 3"
    model_class = "AudioFlamingo3ForConditionalGeneration"
    architecture = "AudioFlamingo3ForConditionalGeneration"
    longest_sound = 600.0
    mixed_batches = False
    features: ClassVar = {
        "input_features": Feature("audio", "windows"),
        "input_features_mask": Feature("audio", "windows"),
    }
    special_tokens = QWEN_TOKENS | {"<sound>"}

    def windows(self, samples: int) -> int:
        """Windows of thirty seconds, the last one padded."""
        return max(1, -(-samples // WINDOW))
