"""Families that are known by name and run in part, or not at all, each with the reason.

Seen with tiny checkpoints and transformers 5.19 and vLLM 0.32, except where a reason says that it was not tried.
"""

from __future__ import annotations

from typing import ClassVar

from avcurate.families.base import Family, Feature


class _Partial(Family):
    """Token counts that are not known here are compared between settings instead."""

    audio_ids = ("audio_token_id", "", "")
    video_ids = ("video_token_id", "", "")
    masks_parts = False
    features: ClassVar[dict[str, Feature]] = {}

    def audio_tokens(self, samples: int) -> int | None:
        """Not known."""
        return None

    def video_tokens(self, frames: int, height: int, width: int) -> int | None:
        """Not known."""
        return None


class Phi4Multimodal(_Partial):
    """Sound and pictures, no video."""

    name = "phi4_multimodal"
    about = "Phi-4-multimodal"
    model_class = "Phi4MultimodalForCausalLM"
    not_in: ClassVar = {
        "transformers": "it takes frames as pictures only, and its processor has no video",
        "vllm": "vLLM loads this layout as a model of text alone ('Multi-modal processor not available'); the released "
        "one with remote code has no video",
        "server": "vLLM loads this layout as a model of text alone; --engine openai sends frames as pictures",
    }


class NemotronOmni(_Partial):
    """Sound and video over a hybrid decoder."""

    name = "nemotron_h_omni"
    about = "Nemotron-Omni"
    model_class = "NemotronHOmniForConditionalGeneration"
    not_in: ClassVar = {
        "transformers": "generating with frames fails there ('cat(): argument tensors must be tuple of Tensors')",
        "vllm": "vLLM reads the released checkpoint's own field names only ('no attribute patch_size'); serve that one",
    }


class Voxtral(_Partial):
    """Sound only."""

    name = "voxtral"
    about = "Voxtral"
    model_class = "VoxtralForConditionalGeneration"
    sees = False
    not_in: ClassVar = {
        "transformers": "its processor applies chat templates through mistral-common's tokenizer alone",
    }


class MiniCPMO(_Partial):
    """Sound and video; its configuration comes as code with the checkpoint."""

    name = "minicpmo"
    about = "MiniCPM-o"
    model_class = "MiniCPMO"
    not_in: ClassVar = {"transformers": "transformers has no class for it, and no remote code is run"}
