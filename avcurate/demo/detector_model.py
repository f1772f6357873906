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
    """Training: pictures drawn, frames kept of each, steps of either phase, batch and learning rates."""

    pictures: int = 2400
    frames: int = 4
    backbone_steps: int = 1000
    backbone_rate: float = 3e-3
    steps: int = 4000
    batch: int = 24
    rate: float = 5e-4


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
    model.train()
    total = spec.backbone_steps + spec.steps

    def drawn() -> tuple[torch.Tensor, list[Seen]]:
        batch = [_mirrored(rng.choice(frames), rng) for _ in range(spec.batch)]
        pixels = torch.tensor(np.stack([b.frame for b in batch])).permute(0, 3, 1, 2).float() / 255
        return (pixels - 0.5) / 0.25, batch

    backbone = hf.ResNetBackbone(model.config.backbone_config)
    head = torch.nn.Conv2d(backbone.channels[-1], len(FORMS) + 1, 1)

    def cells_told_apart() -> torch.Tensor:
        pixels, batch = drawn()
        scores = head(backbone(pixels).feature_maps[-1])
        targets = torch.stack([_cells(b, scores.shape[-1]) for b in batch])
        return torch.nn.functional.cross_entropy(scores, targets)

    def boxes_found() -> torch.Tensor:
        pixels, batch = drawn()
        loss: torch.Tensor = model(pixel_values=pixels, labels=[_target(b) for b in batch]).loss
        return loss

    def later(step: int, values: dict[str, float]) -> None:
        report(spec.backbone_steps + step, total, values)

    weights = [*backbone.parameters(), *head.parameters()]
    _optimise(cells_told_apart, weights, spec.backbone_rate, spec.backbone_steps, lambda n, v: report(n, total, v))
    # DETR freezes batch statistics, and expects a backbone that has been trained: from random ones it learns nothing
    learnt = {k: v for k, v in backbone.state_dict().items() if not k.endswith("num_batches_tracked")}
    model.model.backbone.model.load_state_dict(learnt)
    model.requires_grad_(True)
    _optimise(boxes_found, list(model.parameters()), spec.rate, spec.steps, later)
    model.config.auxiliary_loss = False
    model.eval().save_pretrained(out, safe_serialization=True)
    processor.save_pretrained(out)


def _optimise(
    loss_of: Callable[[], torch.Tensor],
    weights: list[Any],
    rate: float,
    steps: int,
    report: Callable[[int, dict[str, float]], None],
) -> None:
    """AdamW with a learning rate that rises and falls once."""
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.05)
    for step in range(1, steps + 1):
        loss = loss_of()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        report(step, {"loss": loss.item()})


def _cells(seen: Seen, side: int) -> torch.Tensor:
    """The class of each cell of a grid whose middle lies in a box, one past the last class elsewhere: (side, side)."""
    cells = torch.full((side, side), len(FORMS))
    middle = (torch.arange(side) + 0.5) * SIZE / side
    for x0, y0, x1, y1 in seen.boxes:
        inside = ((middle > y0) & (middle < y1))[:, None] & ((middle > x0) & (middle < x1))[None]
        cells[inside] = seen.label
    return cells


def _mirrored(seen: Seen, rng: random.Random) -> Seen:
    """The frame, or with left and right exchanged; no class depends on its side."""
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
