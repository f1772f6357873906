"""Training of the embedded model from scratch: encoders first, then the language model on top.

Phase one trains the vision and audio towers with linear heads on what each clip holds; they are then
frozen. Phase two teaches the language model to look a pair up in its own text, phase three to reason
and answer, with the picture or the sound left out of half the sequences. All are seeded,
checkpointed and resumable: every step draws its batch from a seed made of its number.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avcurate.demo.architecture import (
    FRAME,
    MERGE,
    PATCH,
    VIDEO_SIZE,
    make_config,
    make_processor,
    make_thinker,
    make_tokenizer,
    save_checkpoint,
)
from avcurate.demo.bank import Bank
from avcurate.demo.batches import AV, A, Settings, V, make_lookup, make_sequence, split_by_kind
from avcurate.demo.world import COLORS, MAX_COUNT, MOTIONS, RHYTHMS, SHAPES, SLOTS, TIMBRES, Picture, Sound
from avcurate.seeds import derive_seed

IGNORE = -100
VIDEO_TOKENS, AUDIO_TOKENS, MEL_FRAMES = 16, 32, 128
Report = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainSpec:
    """The recipe of the shipped checkpoint. Batch sizes in clips and in sequences."""

    seed: int = 0
    clips: int = 4000
    encoder_steps: int = 1000
    encoder_batch: int = 64
    encoder_lr: float = 1e-3
    lookup_steps: int = 600
    lookup_batch: int = 160
    lookup_lr: float = 2e-3
    lm_steps: int = 1600
    lm_batch: int = 48
    lm_lr: float = 1.5e-3
    warmup: int = 60
    checkpoint_every: int = 200


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
    """Linear read-outs of the towers, thrown away after phase one."""

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


def _rate(step: int, steps: int, peak: float, warmup: int) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def _optimiser(parameters: Iterator[nn.Parameter]) -> torch.optim.AdamW:
    return torch.optim.AdamW(list(parameters), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01)


def _save(path: Path, state: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    torch.save(state, partial)
    os.replace(partial, path)


def train_encoders(model: Any, features: Features, bank: Bank, spec: TrainSpec, work: Path, report: Report) -> None:
    """Phase one. Resumes from ``work/encoders.pt``."""
    heads = Heads(model.config.text_config.hidden_size)
    towers = nn.ModuleList([model.visual, model.audio_tower, heads])
    optimiser = _optimiser(towers.parameters())
    file, first = work / "encoders.pt", 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        towers.load_state_dict(state["towers"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    for step in range(first, spec.encoder_steps):
        generator = torch.Generator().manual_seed(derive_seed("encoders", spec.seed, step))
        seen = torch.randint(len(features.frames), (spec.encoder_batch,), generator=generator)
        heard = torch.randint(len(features.mels), (spec.encoder_batch,), generator=generator)
        frames, mels = _augment(features.frames[seen].float(), features.mels[heard].float(), generator)
        wanted = targets([bank.pictures[i] for i in seen.tolist()], [bank.sounds[i] for i in heard.tolist()])
        logits = heads(see(model, patch(frames), features.grid), hear(model, mels))
        losses = {k: F.cross_entropy(logits[k], wanted[k], ignore_index=IGNORE) for k in logits}
        loss = torch.stack([x for x in losses.values() if torch.isfinite(x)]).sum()
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, spec.encoder_steps, spec.encoder_lr, spec.warmup)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(towers.parameters(), 1.0)
        optimiser.step()
        accuracy = {k: float((logits[k].argmax(-1) == wanted[k])[wanted[k] != IGNORE].float().mean()) for k in logits}
        report("encoders", step + 1, spec.encoder_steps, {"loss": loss.item(), **accuracy})
        if (step + 1) % spec.checkpoint_every == 0 or step + 1 == spec.encoder_steps:
            _save(
                file,
                {"towers": towers.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1},
            )


def _augment(frames: Tensor, mels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
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


class Layout:
    """The prompt up to the question, for one setting: token ids, where media go, M-RoPE positions."""

    def __init__(self, model: Any, tokenizer: Any, grid: Tensor, setting: Settings) -> None:
        text = "<|im_start|>user\n"
        if setting[0]:
            text += "<|vision_bos|>" + "<|VIDEO|>" * VIDEO_TOKENS + "<|vision_eos|>"
        if setting[1]:
            text += "<|audio_bos|>" + "<|AUDIO|>" * AUDIO_TOKENS + "<|audio_eos|>"
        self.setting = setting
        self.ids = torch.tensor(tokenizer.encode(text))
        self.video_at = (self.ids == model.config.video_token_id).nonzero().flatten()
        self.audio_at = (self.ids == model.config.audio_token_id).nonzero().flatten()
        positions, _ = model.get_rope_index(
            self.ids[None],
            video_grid_thw=grid if setting[0] else None,
            attention_mask=torch.ones(1, len(self.ids), dtype=torch.long),
            use_audio_in_video=False,
            audio_seqlens=torch.tensor([MEL_FRAMES]) if setting[1] else None,
            second_per_grids=torch.tensor([1.0]) if setting[0] else None,
        )
        self.positions = positions[:, 0].long()


def train_lookup(model: Any, tokenizer: Any, spec: TrainSpec, work: Path, report: Report) -> None:
    """Phase two, on text alone. Resumes from ``work/lookup.pt``."""
    learner = nn.ModuleList([model.model, model.lm_head])
    optimiser = _optimiser(learner.parameters())
    file, first = work / "lookup.pt", 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        learner.load_state_dict(state["learner"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    special = set(tokenizer.all_special_ids)
    vocabulary = [i for i in range(len(tokenizer)) if i not in special]
    comma = tokenizer.encode(",")[0]
    for step in range(first, spec.lookup_steps):
        rng = random.Random(derive_seed("lookup", spec.seed, step))
        ids = torch.tensor([make_lookup(vocabulary, comma, rng) for _ in range(spec.lookup_batch)])
        positions = torch.arange(ids.shape[1]).expand(3, len(ids), -1)
        hidden = model.model(
            inputs_embeds=model.get_input_embeddings()(ids), position_ids=positions, use_cache=False
        ).last_hidden_state[:, -2]
        logits = model.lm_head(hidden)
        loss = F.cross_entropy(logits, ids[:, -1])
        right = float((logits.argmax(-1) == ids[:, -1]).float().mean())
        _step(optimiser, learner, loss, _rate(step, spec.lookup_steps, spec.lookup_lr, spec.warmup))
        report("lookup", step + 1, spec.lookup_steps, {"loss": loss.item(), "answers": right})
        if (step + 1) % spec.checkpoint_every == 0 or step + 1 == spec.lookup_steps:
            _save(file, {"learner": learner.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1})


def _step(optimiser: torch.optim.Optimizer, learner: nn.Module, loss: Tensor, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    optimiser.step()


def train_language_model(
    model: Any, tokenizer: Any, features: Features, bank: Bank, spec: TrainSpec, work: Path, report: Report
) -> None:
    """Phase three, on frozen towers. Resumes from ``work/lm.pt``."""
    seen, heard = perceive(model, features)
    layouts = {s: Layout(model, tokenizer, features.grid, s) for s in (AV, A, V)}
    by_kind = split_by_kind(bank.pictures, bank.sounds)
    learner = nn.ModuleList([model.model, model.lm_head])
    optimiser = _optimiser(learner.parameters())
    file, first = work / "lm.pt", 0
    if file.exists():
        state = torch.load(file, weights_only=True)
        learner.load_state_dict(state["learner"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    shares = {AV: spec.lm_batch // 2, A: spec.lm_batch // 4, V: spec.lm_batch // 4}
    for step in range(first, spec.lm_steps):
        rng = random.Random(derive_seed("lm", spec.seed, step))
        optimiser.zero_grad()
        total, hits, answers = 0.0, 0.0, 0
        for setting, size in shares.items():
            batch = [make_sequence(tokenizer, bank.pictures, bank.sounds, by_kind, setting, rng) for _ in range(size)]
            loss, right, count = _lm_loss(model, layouts[setting], batch, seen, heard)
            (loss * size / spec.lm_batch).backward()  # type: ignore[no-untyped-call]
            total += loss.item() * size / spec.lm_batch
            if setting == AV:
                hits, answers = right, count
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, spec.lm_steps, spec.lm_lr, spec.warmup)
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimiser.step()
        report("language model", step + 1, spec.lm_steps, {"loss": total, "answers": hits / max(1, answers)})
        if (step + 1) % spec.checkpoint_every == 0 or step + 1 == spec.lm_steps:
            _save(
                file,
                {"learner": learner.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1},
            )


def _lm_loss(model: Any, layout: Layout, batch: list[Any], seen: Tensor, heard: Tensor) -> tuple[Tensor, float, int]:
    """Weighted next-token loss; also how many deciding tokens were predicted right, of how many."""
    longest = max(len(s.tokens) for s in batch)
    prefix = len(layout.ids)
    ids = torch.zeros(len(batch), prefix + longest, dtype=torch.long)
    weights = torch.zeros(len(batch), prefix + longest)
    ids[:, :prefix] = layout.ids
    for row, s in enumerate(batch):
        ids[row, prefix : prefix + len(s.tokens)] = torch.tensor(s.tokens)
        weights[row, prefix : prefix + len(s.tokens)] = torch.tensor(s.weights)
    embeds = model.get_input_embeddings()(ids)
    if layout.setting[0]:
        embeds[:, layout.video_at] = seen[torch.tensor([s.picture for s in batch])]
    if layout.setting[1]:
        embeds[:, layout.audio_at] = heard[torch.tensor([s.sound for s in batch])]
    after = layout.positions.max() + 1 + torch.arange(longest)
    positions = torch.cat([layout.positions, after.expand(3, -1)], 1)
    hidden = model.model(
        inputs_embeds=embeds, position_ids=positions[:, None].expand(3, len(batch), -1), use_cache=False
    ).last_hidden_state[:, prefix - 1 : -1]
    wanted, weight = ids[:, prefix:], weights[:, prefix:]
    keep = weight > 0
    logits = model.lm_head(hidden[keep])
    loss = F.cross_entropy(logits, wanted[keep], reduction="none")
    is_deciding = weight[keep] > 1
    right = (logits.argmax(-1) == wanted[keep])[is_deciding]
    return (loss * weight[keep]).sum() / weight[keep].sum(), float(right.sum()), int(is_deciding.sum())


def train(bank: Bank, out: Path, work: Path, spec: TrainSpec, report: Report) -> None:
    """Train from scratch, or resume, and write the checkpoint to ``out``."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "spec.json").write_text(json.dumps(asdict(spec), indent=1))
    tokenizer = make_tokenizer()
    processor = make_processor(tokenizer)
    model = make_thinker(make_config(tokenizer), spec.seed)
    features = Features(bank, processor)
    model.train()
    train_encoders(model, features, bank, spec, work, report)
    model.eval()
    train_lookup(model, tokenizer, spec, work, report)
    train_language_model(model, tokenizer, features, bank, spec, work, report)
    save_checkpoint(model, processor, out)
