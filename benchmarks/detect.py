"""Decoding and detection of clips: the stage (decoding ahead, batches across clips) against one clip at a time.

The detector is a DETR of the real architecture with random weights: the work is the same.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import transformers

from avcurate.demo.build import draw_world
from avcurate.demo.clips import write_clip
from avcurate.engines.open import open_detector
from avcurate.media.decode import DecodeSpec, decode
from avcurate.runner.stage import NoLog
from avcurate.tasks.objects.stages import DetectStage
from benchmarks.harness import compare

CLIPS, FRAMES = 16, 10


def main() -> None:
    """Print the ratio."""
    backbone = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[32, 64, 96, 128], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=64,
        encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, num_queries=50,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        transformers.DetrForObjectDetection(config).save_pretrained(folder / "detr")
        size = {"shortest_edge": 128, "longest_edge": 192}
        transformers.DetrImageProcessor(size=size).save_pretrained(folder / "detr")
        clips = list({i.clip.name: i.clip for i in draw_world(3 * CLIPS, 0)}.values())
        rows = []
        for clip in clips:
            write_clip(clip, folder / f"{clip.name}.mp4")
            rows.append({"clip_id": clip.name, "media": f"{clip.name}.mp4", "labels": []})
        detector = open_detector(str(folder / "detr"))
        detector.setup()
        stage = DetectStage(detector, folder, frames=FRAMES, batch=40, workers=2)
        spec = DecodeSpec(fps=1000.0, max_frames=FRAMES, max_pixels=800 * 800, max_seconds=10)

        def one_by_one() -> None:
            for row in rows:
                frames = decode(folder / str(row["media"]), spec).frames
                assert frames is not None
                detector.detect(list(frames[:FRAMES]), 0.3)

        compare(
            "decode and detect: clip after clip / the stage",
            lambda: list(stage.process(iter(rows), NoLog())),
            one_by_one,
        )


if __name__ == "__main__":
    main()
