"""What Qwen2.5-Omni and Qwen3-Omni have in common: a vision tower over resized patches, Qwen's special tokens."""

from __future__ import annotations

import math
from typing import ClassVar

from avcurate.families.base import Family, smart_resize

QWEN_TOKENS = frozenset(
    {
        *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
        *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    }
)


class QwenOmni(Family):
    """Frames are resized to multiples of patch × merge and merged in pairs in time."""

    part = "thinker"
    pixels: ClassVar[tuple[int, int]]
    """Minimum and maximum pixels of a frame: the processor's own defaults, which a saved value does not override."""

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
