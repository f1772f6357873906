"""The vision and audio towers of the embedded model in training: their inputs, outputs and read-outs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avcurate.demo.architecture import FRAME, MERGE, PATCH, VIDEO_SIZE
from avcurate.demo.bank import Bank
from avcurate.demo.world import COLORS, MAX_COUNT, MOTIONS, RHYTHMS, SHAPES, SLOTS, TIMBRES, Picture, Sound

IGNORE = -100
VIDEO_TOKENS, AUDIO_TOKENS, MEL_FRAMES = 16, 32, 128


class Features:
    """Inputs of the towers for a bank: frames and log-mel, computed once by the real processor.

    ``frames`` is float16 (N, 8, 3, 56, 56), normalised; ``mels`` float16 (M, bands, 128).
    """

    def __init__(self, bank: Bank, processor: Any) -> None:
        frames, mels = [], []
        for start in range(0, len(bank.frames), 50):
            out = processor.video_processor(
                videos=list(bank.frames[start : start + 50]),
                size=VIDEO_SIZE,
                do_sample_frames=False,
                return_tensors="pt",
            )
            self.grid = out["video_grid_thw"][:1]
            frames.append(unpatch(out["pixel_values_videos"]).half())
        for start in range(0, len(bank.audio), 50):
            sounds = processor.feature_extractor(
                list(bank.audio[start : start + 50].astype(np.float32) / 32767),
                sampling_rate=16_000,
                padding="longest",
                return_attention_mask=True,
                return_tensors="pt",
            )
            mels.append(sounds["input_features"][:, :, :MEL_FRAMES].half())
        self.frames = torch.cat(frames)
        self.mels = torch.cat(mels)


_CELLS = FRAME // PATCH // MERGE


def patch(frames: Tensor) -> Tensor:
    """(B, 8, 3, 56, 56) frames to the (B, 64, 1176) patches that Qwen2-VL's processor makes."""
    b, t = frames.shape[:2]
    cut = frames.reshape(b, t // 2, 2, 3, _CELLS, MERGE, PATCH, _CELLS, MERGE, PATCH)
    return cut.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9).reshape(b, -1, 3 * 2 * PATCH * PATCH)


def unpatch(patches: Tensor) -> Tensor:
    """The inverse of :func:`patch`, from patches of clips of four seconds laid end to end."""
    cut = patches.reshape(-1, SLOTS, _CELLS, _CELLS, MERGE, MERGE, 3, 2, PATCH, PATCH)
    return cut.permute(0, 1, 7, 6, 2, 4, 8, 3, 5, 9).reshape(-1, 2 * SLOTS, 3, FRAME, FRAME)


def see(model: Any, pixels: Tensor, grid: Tensor) -> Tensor:
    """Vision tower: (B, 64, 1176) pixels to (B, 16, hidden)."""
    flat = model.visual(pixels.reshape(-1, pixels.shape[-1]), grid_thw=grid.expand(len(pixels), -1))
    out = flat.pooler_output if hasattr(flat, "pooler_output") else flat
    return out.reshape(len(pixels), VIDEO_TOKENS, -1)  # type: ignore[no-any-return]


def hear(model: Any, mels: Tensor) -> Tensor:
    """Audio tower: (B, bands, 128) log-mel to (B, 32, hidden)."""
    lengths = torch.full((len(mels),), MEL_FRAMES, dtype=torch.long)
    after_cnn = (lengths - 1) // 2 + 1
    flat = mels.permute(1, 0, 2).reshape(mels.shape[1], -1)
    out = model.audio_tower(flat, feature_lens=lengths, aftercnn_lens=after_cnn).last_hidden_state
    return out.reshape(len(mels), AUDIO_TOKENS, -1)  # type: ignore[no-any-return]


class Heads(nn.Module):
    """Linear read-outs of the towers, discarded after phase one."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        video, audio = hidden * SLOTS, hidden * AUDIO_TOKENS
        self.color = nn.Linear(hidden, len(COLORS))
        self.shape = nn.Linear(video, len(SHAPES))
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
        "shape": [SHAPES.index(p.shape) for p in pictures],
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
    """Tower outputs of the whole bank: (N, 16, hidden) and (M, 32, hidden)."""
    seen = [see(model, patch(f.float()), features.grid) for f in torch.split(features.frames, 100)]
    heard = [hear(model, m.float()) for m in torch.split(features.mels, 100)]
    return torch.cat(seen), torch.cat(heard)
