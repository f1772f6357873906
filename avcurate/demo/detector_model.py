"""The embedded detector: a DETR of under a million weights that finds the shapes of the demo world, and nothing else.

Trained from scratch on CPU on frames whose boxes are known. The architecture is transformers' own
(``DetrForObjectDetection``, with a small ResNet), so that ``avcurate objects`` runs as on facebook/detr-resnet-50.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from numpy.typing import NDArray

import avcurate.engines.torchvision_cpu  # noqa: F401
from avcurate.demo.render import SIZE, Box, boxes, render_picture
from avcurate.demo.world import CLEAR, CLIP_SECONDS, FORMS, draw_picture, draw_sight

QUERIES = 10
LABELS = {i: form for i, form in enumerate(FORMS)}


@dataclass(frozen=True)
class DetectorSpec:
    """Training: how many pictures are drawn, how many frames of each are kept, steps, batch and learning rate."""

    pictures: int = 2400
    frames: int = 4
    steps: int = 5000
    batch: int = 24
    rate: float = 6e-4


@dataclass(frozen=True)
class Seen:
    """A frame, uint8 (SIZE, SIZE, 3), with its shape's class and boxes in pixels."""

    frame: NDArray[np.uint8]
    label: int
    boxes: Sequence[Box]


Report = Callable[[int, int, dict[str, float]], None]


def make_detector() -> tuple[Any, Any]:
    """Model with random weights, and its image processor."""
    backbone = hf.ResNetConfig(
        embedding_size=24,
        hidden_sizes=[24, 48, 72, 96],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage3"],
    )
    config = hf.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        num_queries=QUERIES,
        d_model=96,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=192,
        decoder_ffn_dim=192,
        dropout=0.0,
        auxiliary_loss=True,
        id2label=LABELS,
        label2id={v: k for k, v in LABELS.items()},
    )
    processor = hf.DetrImageProcessor(
        size={"height": SIZE, "width": SIZE}, do_pad=False, image_mean=[0.5] * 3, image_std=[0.25] * 3
    )
    return hf.DetrForObjectDetection(config), processor


def draw_frames(count: int, each: int, seed: int, *, hard_share: float = 0.5) -> list[Seen]:
    """Frames of pictures drawn at random, ``each`` of one picture, with their boxes."""
    rng, seen = random.Random(seed), []
    for number in range(count):
        picture = draw_picture(rng, "group" if rng.random() < 0.8 else "sequence", FORMS)
        sight = draw_sight(rng, CLIP_SECONDS) if rng.random() < hard_share else CLEAR
        frames = render_picture(picture, seed * 1_000_003 + number, CLIP_SECONDS, sight)
        places = boxes(picture, seed * 1_000_003 + number, CLIP_SECONDS)
        hidden = [round(s * len(frames) / CLIP_SECONDS) for s in sight.hidden]
        for t in rng.sample(range(len(frames)), each):
            there = [] if hidden[0] <= t < hidden[1] else places[t]
            seen.append(Seen(frames[t], FORMS.index(picture.shape), there))
    return seen


def train_detector(
    out: Path, spec: DetectorSpec | None = None, seed: int = 0, report: Report = lambda *_: None
) -> None:
    """Train and save the detector."""
    spec = spec or DetectorSpec()
    torch.manual_seed(seed)
    rng = random.Random(seed)
    frames = draw_frames(spec.pictures, spec.frames, seed + 1)
    model, processor = make_detector()
    optimiser = torch.optim.AdamW(model.parameters(), lr=spec.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, spec.rate, total_steps=spec.steps, pct_start=0.05)
    model.train()
    for step in range(1, spec.steps + 1):
        batch = [_mirrored(rng.choice(frames), rng) for _ in range(spec.batch)]
        pixels = torch.tensor(np.stack([b.frame for b in batch])).permute(0, 3, 1, 2).float() / 255
        loss = model(pixel_values=(pixels - 0.5) / 0.25, labels=[_target(b) for b in batch]).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        report(step, spec.steps, {"loss": loss.item()})
    model.config.auxiliary_loss = False
    model.eval().save_pretrained(out, safe_serialization=True)
    processor.save_pretrained(out)


def _mirrored(seen: Seen, rng: random.Random) -> Seen:
    """The frame, or with left and right exchanged; no class is told apart by its side."""
    if rng.random() < 0.5:
        return seen
    flipped = [(SIZE - x1, y0, SIZE - x0, y1) for x0, y0, x1, y1 in seen.boxes]
    return Seen(np.ascontiguousarray(seen.frame[:, ::-1]), seen.label, flipped)


def _target(seen: Seen) -> dict[str, torch.Tensor]:
    """Classes, and boxes as centre and size in parts of the frame."""
    corners = torch.tensor(seen.boxes, dtype=torch.float32).reshape(-1, 4) / SIZE
    low, high = corners[:, :2], corners[:, 2:]
    return {
        "class_labels": torch.full((len(corners),), seen.label, dtype=torch.long),
        "boxes": torch.cat([(low + high) / 2, high - low], 1),
    }
