"""Gemma 4 with its audio tower."""

from __future__ import annotations

from avcurate.families.gemma import Gemma


class Gemma4(Gemma):
    """25 audio tokens a second, from a conformer."""

    name = "gemma4"
    about = "Gemma 4"
    model_class = "Gemma4ForConditionalGeneration"
    architecture = "Gemma4ForConditionalGeneration"

    def audio_tokens(self, samples: int) -> int | None:
        """Mel frames of one hop, the first half a window early, then two strided convolutions."""
        frames = (samples - 1) // 160
        return -(-frames // 4)
