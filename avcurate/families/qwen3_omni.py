"""Qwen3-Omni MoE, Instruct and Thinking (arXiv 2509.17765)."""

from __future__ import annotations

from avcurate.families.qwen_omni import QWEN_TOKENS, QwenOmni


class Qwen3Omni(QwenOmni):
    """13 audio tokens a second.

    transformers drops a partial last hop when a clip is alone, and keeps a frame of it when a longer clip shares the
    batch; vLLM always pads it. With waveforms padded to whole hops all three agree.
    """

    name = "qwen3_omni_moe"
    version = 2
    about = "Qwen3-Omni"
    model_class = "Qwen3OmniMoeThinkerForConditionalGeneration"
    architecture = "Qwen3OmniMoeForConditionalGeneration"
    whole_hop = 160
    pixels = (128 * 32 * 32, 768 * 32 * 32)
    special_tokens = QWEN_TOKENS | {
        *("<|audio_pad|>", "<|audio_start|>", "<|audio_end|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>"),
        *("<|vision_end|>", "<|vision_pad|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>", "<tts_text_bos_single>"),
    }

    def audio_tokens(self, samples: int) -> int | None:
        """Blocks of 100 frames give 13 tokens each; three strided convolutions over the rest."""
        if "hop_length" not in self.description.extractor:
            return None
        hop = int(self.description.extractor["hop_length"])
        frames = -(-samples // hop)
        left = frames % 100
        after = (left - 1) // 2 + 1
        tail = ((after - 1) // 2 + 1 - 1) // 2 + 1 if left else 0
        return tail + frames // 100 * 13
