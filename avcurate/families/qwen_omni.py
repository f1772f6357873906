"""What Qwen2.5-Omni and Qwen3-Omni have in common: a vision tower over resized patches, Qwen's special tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from avcurate.families.base import Family, Feature, Sound, smart_resize

QWEN_TOKENS = frozenset(
    {
        *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
        *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    }
)


class QwenOmni(Family):
    """Frames are resized to multiples of patch × merge and merged in pairs in time; positions have three axes."""

    part = "thinker"
    interleaves = True
    pixels: ClassVar[tuple[int, int]]
    """Minimum and maximum pixels of a frame: the processor's own defaults, which a saved value does not override."""
    features: ClassVar = {
        "input_features": Feature("audio"),
        "feature_attention_mask": Feature("audio"),
        "pixel_values_videos": Feature("video", "patches"),
        "video_grid_thw": Feature("video"),
        "video_second_per_grid": Feature("video"),
    }

    def video_tokens(self, frames: int, height: int, width: int) -> int | None:
        """One token for each merged patch of each pair of frames."""
        vision = self.description.thinker.get("vision_config", {})
        if "patch_size" not in vision:
            return None
        low, high = self.pixels
        size = self.description.profile.get("video_size", {"shortest_edge": low, "longest_edge": high})
        unit = vision["patch_size"] * vision["spatial_merge_size"]
        h, w = smart_resize(height, width, unit, size["shortest_edge"], size["longest_edge"])
        pairs = math.ceil(frames / vision["temporal_patch_size"])
        return int(pairs * (h // unit) * (w // unit))

    def processor_arguments(
        self, audios: Sequence[Sound], videos: Sequence[NDArray[np.uint8]], fps: float, interleaved: bool
    ) -> dict[str, Any]:
        """The frame rate always, for without it time positions are stretched; never sampled again, never cut."""
        arguments = super().processor_arguments(audios, videos, fps, interleaved)
        shown = {"do_sample_frames": False, "fps": fps, **self.video_size}
        if interleaved:
            shown["use_audio_in_video"] = True
        audio = arguments["audio_kwargs"] | {"truncation": False}
        return arguments | {"audio_kwargs": audio, "videos_kwargs": shown}

    def request_arguments(self, fps: float, interleaved: bool) -> dict[str, Any]:
        """The frame rate and the layout."""
        layout = {"use_audio_in_video": True} if interleaved else {}
        return {"fps": fps, **layout, **self.video_size}

    def positions(self, model: Any, inputs: dict[str, Any], interleaved: bool) -> Any:
        """The model's own, (3, B, L); it takes the seconds of a temporal patch here and not in its forward."""
        lengths = inputs.get("feature_attention_mask")
        seconds = inputs.pop("video_second_per_grid", None)
        mask = inputs["attention_mask"]
        indices, _ = model.get_rope_index(
            inputs["input_ids"],
            video_grid_thw=inputs.get("video_grid_thw"),
            attention_mask=mask,
            use_audio_in_video=interleaved,
            audio_seqlens=None if lengths is None else lengths.sum(-1),
            second_per_grids=None if seconds is None else mask.float().new_tensor([float(s) for s in seconds]),
        )
        return indices.long()
