"""What Gemma 4 and Gemma 4 unified have in common: frames as time-stamped pictures, layers with a sliding window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from avcurate.families.base import Family, Feature, Sound


class Gemma(Family):
    """Hears thirty seconds. Every frame costs the same tokens, at most ``max_soft_tokens``, and a time stamp."""

    longest_sound = 30.0
    audio_ids = ("audio_token_id", "boa_token_id", "eoa_token_index")
    video_ids = ("video_token_id", "boi_token_id", "eoi_token_id")
    features: ClassVar = {
        "mm_token_type_ids": Feature("text"),
        "input_features": Feature("audio"),
        "input_features_mask": Feature("audio"),
        "pixel_values_videos": Feature("video", "frames"),
        "video_position_ids": Feature("video", "frames"),
        "num_frames_per_video": Feature("video"),
    }
    special_tokens = frozenset(
        {
            *("<bos>", "<eos>", "<pad>", "<|turn>", "<turn|>", "<|image|>", "<|image>", "<image|>", "<|video|>"),
            *("<|audio|>", "<|audio>", "<audio|>"),
        }
    )

    def video_tokens(self, frames: int, height: int, width: int) -> int | None:
        """The largest grid of pooled patches that keeps the aspect ratio within the frame's budget."""
        settings = self.description.frames
        side = int(settings.get("patch_size", 16)) * int(settings.get("pooling_kernel_size", 3))
        budget = int(settings.get("max_soft_tokens", 70))
        scale = math.sqrt(budget * side * side / (height * width))
        rows, columns = math.floor(scale * height / side), math.floor(scale * width / side)
        if not rows:
            rows, columns = 1, min(width // height, budget)
        elif not columns:
            rows, columns = min(height // width, budget), 1
        return frames * rows * columns

    def processor_arguments(
        self, audios: Sequence[Sound], videos: Sequence[NDArray[np.uint8]], fps: float, interleaved: bool
    ) -> dict[str, Any]:
        """Each video's frame rate: without it the processor assumes 24 frames a second and stamps them so."""
        arguments = super().processor_arguments(audios, videos, fps, interleaved)
        # sound over the limit never gets here; a tokenizer saved after use would take the limit's place with none
        arguments["audio_kwargs"]["truncation"] = False
        if videos:
            arguments["videos_kwargs"] = {
                "do_sample_frames": False,
                "video_metadata": [
                    {
                        "total_num_frames": len(v),
                        "fps": fps,
                        "duration": len(v) / fps,
                        "frames_indices": list(range(len(v))),
                    }
                    for v in videos
                ],
            }
        return arguments

    def encoded(self, model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        """Frames already through the vision tower: transformers 5.19 does not pass their number per video on to it."""
        if "pixel_values_videos" not in inputs:
            return {k: v for k, v in inputs.items() if k != "num_frames_per_video"}
        taken = ("pixel_values_videos", "video_position_ids", "num_frames_per_video")
        features = model.model.get_video_features(*(inputs[k] for k in taken), return_dict=True)
        return {k: v for k, v in inputs.items() if k not in taken} | {"mm_encoder_outputs": {"video": features}}

    def layered(self, config: Any, allowed: Any) -> Any:
        """One mask for layers that see everything, one for those with a sliding window."""
        reach = int(config.sliding_window)
        if allowed.shape[-2] == 1:
            # while decoding, a sliding layer's cache holds the window alone
            sliding = allowed[..., -reach:]
        else:
            sliding = allowed & allowed.new_ones(allowed.shape[-2:]).triu(1 - reach)
        return {"full_attention": allowed, "sliding_attention": sliding}

    def refuse_masking(self, config: Any) -> str | None:
        """Checkpoints whose frames attend to each other in both directions."""
        if getattr(config, "use_bidirectional_attention", None):
            return f"this checkpoint of {self.about} reads frames in both directions, which MAAM's causal mask is not"
        return super().refuse_masking(config)
