"""What Qwen2-Audio and Audio Flamingo 3 have in common: a Whisper encoder, frames pooled in pairs, no video."""

from __future__ import annotations

from avcurate.families.base import Family


class WhisperAudio(Family):
    """25 audio tokens a second."""

    sees = False
    masks_parts = False
    audio_ids = ("audio_token_id", "", "")
    video_ids = ("", "", "")
    other_ids = ()

    def audio_tokens(self, samples: int) -> int | None:
        """A strided convolution over frames of one hop, then pooling in pairs."""
        hop = int(self.description.extractor.get("hop_length", 160))
        frames = -(-samples // hop)
        return ((frames - 1) // 2 + 1 - 2) // 2 + 1

    def video_tokens(self, frames: int, height: int, width: int) -> int | None:
        """None: it cannot see."""
        return 0

    def released_name(self, weight: str) -> str:
        """transformers 5.19 doubles a prefix when it saves these families, and only itself reads that."""
        return weight.replace("language_model.model.model.", "language_model.model.")
