"""Gemma 4 unified: sound and picture go into the decoder without a tower."""

from __future__ import annotations

from avcurate.families.gemma import Gemma


class Gemma4Unified(Gemma):
    """One token for each 640 samples: transformers pads the last frame, vLLM drops it; padded before, they agree."""

    name = "gemma4_unified"
    about = "Gemma 4 unified"
    model_class = "Gemma4UnifiedForConditionalGeneration"
    architecture = "Gemma4UnifiedForConditionalGeneration"
    whole_hop = 640

    def audio_tokens(self, samples: int) -> int | None:
        """Frames of 640 samples."""
        return -(-samples // 640)
