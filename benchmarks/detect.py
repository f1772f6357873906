"""Frames of several clips in one forward pass against one clip at a time, on a DETR of the real architecture."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import transformers

from avcurate.engines.detector import open_detector
from benchmarks.harness import compare

CLIPS, FRAMES = 12, 10


def main() -> None:
    """Print the ratio; the weights are random, the work is the same."""
    backbone = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[32, 64, 96, 128], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=64,
        encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, num_queries=50,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        transformers.DetrForObjectDetection(config).save_pretrained(folder)
        transformers.DetrImageProcessor(size={"shortest_edge": 128, "longest_edge": 192}).save_pretrained(folder)
        detector = open_detector(str(Path(folder)))
        detector.setup()
        rng = np.random.default_rng(0)
        clips = [[rng.integers(0, 255, (128, 176, 3), np.uint8) for _ in range(FRAMES)] for _ in range(CLIPS)]
        together = [f for clip in clips for f in clip]

        def batched() -> None:
            for start in range(0, len(together), 40):
                detector.detect(together[start : start + 40], 0.3)

        compare(
            "detection: clip by clip / batched across clips", batched, lambda: [detector.detect(c, 0.3) for c in clips]
        )


if __name__ == "__main__":
    main()
