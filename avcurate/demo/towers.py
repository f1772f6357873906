"""The vision and audio towers of the embedded model in training: their inputs, outputs and read-outs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avcurate.demo.architecture import FRAME, MERGE, PATCH, VIDEO_SIZE
from avcurate.demo.bank import Bank
from avcurate.demo.world import (
    CLIP_SECONDS,
    COLORS,
    FORMS,
    MAX_COUNT,
    MOTIONS,
    RHYTHMS,
    SLOTS,
    TIMBRES,
    Picture,
    Sound,
)

IGNORE = -100
# for each second of a clip
VIDEO_TOKENS, AUDIO_TOKENS, MEL_FRAMES = 4, 8, 32


class Features:
    """Inputs of the towers for a bank of clips of S seconds: frames and log-mel, computed once by the real processor.

    ``frames`` is float16 (N, 2 S, 3, 56, 56), normalised; ``mels`` float16 (M, bands, 32 S).
    """

    def __init__(self, bank: Bank, processor: Any) -> None:
        frames, mels = [], []
        self.seconds = bank.seconds
        for start in range(0, len(bank.frames), 50):
            out = processor.video_processor(
                videos=list(bank.frames[start : start + 50]),
                size=VIDEO_SIZE,
                do_sample_frames=False,
                return_tensors="pt",
            )
            self.grid = out["video_grid_thw"][:1]
            frames.append(unpatch(out["pixel_values_videos"], bank.seconds).half())
        for start in range(0, len(bank.audio), 50):
            sounds = processor.feature_extractor(
                list(bank.audio[start : start + 50].astype(np.float32) / 32767),
                sampling_rate=16_000,
                padding="longest",
                return_attention_mask=True,
                return_tensors="pt",
            )
            mels.append(sounds["input_features"][:, :, : MEL_FRAMES * bank.seconds].half())
        self.frames = torch.cat(frames)
        self.mels = torch.cat(mels)


_CELLS = FRAME // PATCH // MERGE


def patch(frames: Tensor) -> Tensor:
    """(B, 2 S, 3, 56, 56) frames to the (B, 16 S, 1176) patches that Qwen2-VL's processor makes."""
    b, t = frames.shape[:2]
    cut = frames.reshape(b, t // 2, 2, 3, _CELLS, MERGE, PATCH, _CELLS, MERGE, PATCH)
    return cut.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9).reshape(b, -1, 3 * 2 * PATCH * PATCH)


def unpatch(patches: Tensor, seconds: int) -> Tensor:
    """The inverse of :func:`patch`, from patches of clips of equal length laid end to end."""
    cut = patches.reshape(-1, seconds, _CELLS, _CELLS, MERGE, MERGE, 3, 2, PATCH, PATCH)
    return cut.permute(0, 1, 7, 6, 2, 4, 8, 3, 5, 9).reshape(-1, 2 * seconds, 3, FRAME, FRAME)


def see(model: Any, pixels: Tensor, grid: Tensor) -> Tensor:
    """Vision tower: (B, 16 S, 1176) pixels to (B, 4 S, hidden)."""
    flat = model.visual(pixels.reshape(-1, pixels.shape[-1]), grid_thw=grid.expand(len(pixels), -1))
    out = flat.pooler_output if hasattr(flat, "pooler_output") else flat
    return out.reshape(len(pixels), -1, out.shape[-1])  # type: ignore[no-any-return]


def hear(model: Any, mels: Tensor) -> Tensor:
    """Audio tower: (B, bands, 32 S) log-mel to (B, 8 S, hidden)."""
    lengths = torch.full((len(mels),), mels.shape[-1], dtype=torch.long)
    after_cnn = (lengths - 1) // 2 + 1
    flat = mels.permute(1, 0, 2).reshape(mels.shape[1], -1)
    out = model.audio_tower(flat, feature_lens=lengths, aftercnn_lens=after_cnn).last_hidden_state
    return out.reshape(len(mels), -1, out.shape[-1])  # type: ignore[no-any-return]


class Heads(nn.Module):
    """Linear read-outs of whole clips of the easy world, discarded after phase one."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        video, audio = hidden * SLOTS, hidden * AUDIO_TOKENS * CLIP_SECONDS
        self.color = nn.Linear(hidden, len(COLORS))
        self.shape = nn.Linear(video, len(FORMS))
        self.motion = nn.Linear(video, len(MOTIONS))
        self.count = nn.Linear(video, MAX_COUNT)
        self.timbre = nn.Linear(hidden, len(TIMBRES))
        self.slot_timbre = nn.Linear(hidden, len(TIMBRES))
        self.sound_count = nn.Linear(audio, MAX_COUNT)
        self.rhythm = nn.Linear(audio, len(RHYTHMS))

    def forward(self, seen: Tensor, heard: Tensor) -> dict[str, Tensor]:
        """Logits of every attribute from (B, 16, hidden) and (B, 32, hidden)."""
        slots = seen.reshape(len(seen), SLOTS, -1, seen.shape[-1]).mean(2)
        moments = heard.reshape(len(heard), SLOTS, -1, heard.shape[-1]).mean(2)
        return {
            "color": self.color(slots).flatten(0, 1),
            "shape": self.shape(slots.flatten(1)),
            "motion": self.motion(slots.flatten(1)),
            "count": self.count(slots.flatten(1)),
            "timbre": self.timbre(heard.mean(1)),
            "slot_timbre": self.slot_timbre(moments).flatten(0, 1),
            "sound_count": self.sound_count(heard.flatten(1)),
            "rhythm": self.rhythm(heard.flatten(1)),
        }


def targets(pictures: list[Picture], sounds: list[Sound]) -> dict[str, Tensor]:
    """Class indices for :class:`Heads`; ``IGNORE`` where an attribute does not apply."""
    group = [s.kind == "group" for s in sounds]
    rows: dict[str, list[int]] = {
        "color": [COLORS.index(c) for p in pictures for c in p.colors],
        "shape": [FORMS.index(p.shape) for p in pictures],
        "motion": [MOTIONS.index(p.motion) for p in pictures],
        "count": [p.count - 1 for p in pictures],
        "timbre": [TIMBRES.index(s.timbres[0]) if g else IGNORE for s, g in zip(sounds, group, strict=True)],
        "slot_timbre": [
            IGNORE if g else TIMBRES.index(s.timbres[i])
            for s, g in zip(sounds, group, strict=True)
            for i in range(SLOTS)
        ],
        "sound_count": [s.count - 1 if g else IGNORE for s, g in zip(sounds, group, strict=True)],
        "rhythm": [RHYTHMS.index(s.rhythm) if s.rhythm else IGNORE for s in sounds],
    }
    return {k: torch.tensor(v) for k, v in rows.items()}


class Moments(nn.Module):
    """Linear read-outs of each second of picture and each token of sound, for clips of any length; discarded too."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.color = nn.Linear(hidden, len(COLORS))
        self.shape = nn.Linear(hidden, len(FORMS))
        self.motion = nn.Linear(hidden, len(MOTIONS))
        self.count = nn.Linear(hidden, MAX_COUNT)
        self.sounding = nn.Linear(hidden, len(TIMBRES) + 1)
        self.start = nn.Linear(hidden, 2)

    def forward(self, seen: Tensor, heard: Tensor) -> dict[str, Tensor]:
        """Logits from (B, 4 S, hidden) and (B, 8 S, hidden), seconds and tokens of all clips end to end."""
        seconds = seen.reshape(-1, VIDEO_TOKENS, seen.shape[-1]).mean(1)
        tokens = heard.flatten(0, 1)
        pictures = {k: getattr(self, k)(seconds) for k in ("color", "shape", "motion", "count")}
        return pictures | {"sounding": self.sounding(tokens), "start": self.start(tokens)}


def moments(pictures: list[Picture], events: list[list[tuple[str, float, float]]], seconds: int) -> dict[str, Tensor]:
    """Class indices for :class:`Moments`: what is seen each second, what sounds at each token, and where it starts."""
    at = range(seconds)
    rows: dict[str, list[int]] = {
        "color": [COLORS.index(p.colors[t * SLOTS // seconds]) for p in pictures for t in at],
        "shape": [FORMS.index(p.shape) for p in pictures for _ in at],
        "motion": [MOTIONS.index(p.motion) for p in pictures for _ in at],
        "count": [p.count - 1 for p in pictures for _ in at],
        "sounding": [],
        "start": [],
    }
    for played in events:
        for token in range(AUDIO_TOKENS * seconds):
            first, last = token / AUDIO_TOKENS, (token + 1) / AUDIO_TOKENS
            heard = [t for t, start, end in played if min(last, end) - max(first, start) > 0.5 * (last - first)]
            rows["sounding"].append(TIMBRES.index(heard[0]) if heard else len(TIMBRES))
            rows["start"].append(int(any(first <= start < last for _, start, _ in played)))
    return {k: torch.tensor(v) for k, v in rows.items()}


def augment(frames: Tensor, mels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shift each picture on its torus, change brightness and volume, add noise."""
    n = len(frames)
    shifts = torch.randint(FRAME, (n, 2), generator=generator).tolist()
    frames = torch.stack([f.roll(s, (-2, -1)) for f, s in zip(frames, shifts, strict=True)])
    gain = 1 + 0.1 * torch.randn(n, 1, 1, 1, 1, generator=generator)
    shift = 0.1 * torch.randn(n, 1, 1, 1, 1, generator=generator)
    frames = frames * gain + shift + 0.03 * torch.randn(frames.shape, generator=generator)
    volume = 0.1 * torch.randn(n, 1, 1, generator=generator)
    return frames, mels + volume + 0.03 * torch.randn(mels.shape, generator=generator)


@torch.no_grad()
def perceive(model: Any, features: Features) -> tuple[Tensor, Tensor]:
    """Tower outputs of the whole bank: (N, 4 S, hidden) and (M, 8 S, hidden)."""
    seen = [see(model, patch(f.float()), features.grid) for f in torch.split(features.frames, 100)]
    heard = [hear(model, m.float()) for m in torch.split(features.mels, 100)]
    return torch.cat(seen), torch.cat(heard)
