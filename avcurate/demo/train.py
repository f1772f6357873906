"""Training of the embedded model from scratch: encoders first, then the language model on top.

Phase one trains the vision and audio towers with linear heads on what each clip holds; they are then
frozen. Phase two teaches the language model to look up a pair in its own text, phase three to reason
and answer, with the picture or the sound left out of half the sequences, phase four to compare. All are seeded,
checkpointed and resumable: every step draws its batch from a seed made of its number.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avcurate.demo.architecture import (
    FRAME,
    VIDEO_SIZE,
    make_config,
    make_processor,
    make_thinker,
    make_tokenizer,
    save_checkpoint,
)
from avcurate.demo.bank import Bank
from avcurate.demo.batches import AV, NOTHING, A, Lessons, Settings, V, make_lookup
from avcurate.demo.towers import (
    IGNORE,
    Features,
    Heads,
    Moments,
    augment,
    hear,
    moments,
    patch,
    perceive,
    see,
    targets,
)
from avcurate.errors import UserError
from avcurate.seeds import derive_seed
from avcurate.store.atomic import write_atomic, write_text

INTERLEAVED_SHARE = 0.3
Report = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainSpec:
    """The recipe, for the easy and the hard world. Batch sizes in clips and in sequences.

    ``embedded-hard`` is this recipe's checkpoint; ``embedded`` was trained on the easy world alone, by an earlier one.
    """

    seed: int = 0
    clips: int = 2400
    hard_clips: int = 320
    encoder_steps: int = 900
    encoder_batch: int = 40
    hard_batch: int = 12
    encoder_lr: float = 1e-3
    lookup_steps: int = 600
    lookup_batch: int = 160
    lookup_lr: float = 2e-3
    lm_steps: int = 4500
    lm_batch: int = 36
    lm_lr: float = 1.5e-3
    compare_steps: int = 600
    compare_lr: float = 6e-4
    warmup: int = 60
    checkpoint_every: int = 200


class Phase:
    """One phase: AdamW under a warm-up and cosine rate, checkpointed in one file and resumed from it.

    ``step_of(step)`` calls ``backward`` and returns what to report, ``loss`` among it.
    """

    def __init__(self, name: str, learner: nn.Module, steps: int, peak_lr: float, spec: TrainSpec, work: Path) -> None:
        self.name, self.learner, self.steps, self.peak_lr, self.spec = name, learner, steps, peak_lr, spec
        self.file = work / f"{name.replace(' ', '-')}.pt"
        self.optimiser = torch.optim.AdamW(learner.parameters(), lr=peak_lr, betas=(0.9, 0.98), weight_decay=0.01)

    def run(self, step_of: Callable[[int], dict[str, float]], report: Report) -> None:
        """All steps that are not done yet."""
        for step in range(self._resume(), self.steps):
            for group in self.optimiser.param_groups:
                group["lr"] = _rate(step, self.steps, self.peak_lr, self.spec.warmup)
            self.optimiser.zero_grad()
            values = step_of(step)
            nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
            self.optimiser.step()
            report(self.name, step + 1, self.steps, values)
            if (step + 1) % self.spec.checkpoint_every == 0 or step + 1 == self.steps:
                self._save(step + 1)

    def _resume(self) -> int:
        if not self.file.exists():
            return 0
        state = torch.load(self.file, weights_only=True)
        self.learner.load_state_dict(state["learner"])
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])

    def _save(self, step: int) -> None:
        state = {"learner": self.learner.state_dict(), "optimiser": self.optimiser.state_dict(), "step": step}
        write_atomic(self.file, lambda partial: torch.save(state, partial))


def _rate(step: int, steps: int, peak: float, warmup: int) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


@dataclass(frozen=True)
class Material:
    """A bank, and what the towers are given of it."""

    bank: Bank
    features: Features


def train_encoders(model: Any, materials: list[Material], spec: TrainSpec, work: Path, report: Report) -> None:
    """Phase one: the towers, read out by linear heads; each step sees the easy world and one length of the hard one."""
    heads, dense = (kind(model.config.text_config.hidden_size) for kind in (Heads, Moments))
    towers = nn.ModuleList([model.visual, model.audio_tower, heads, dense])
    easy, *hard = materials

    def read(material: Material, size: int, generator: torch.Generator) -> dict[str, tuple[Tensor, Tensor]]:
        bank, features = material.bank, material.features
        seen = torch.randint(len(features.frames), (size,), generator=generator)
        heard = torch.randint(len(features.mels), (size,), generator=generator)
        frames, mels = augment(features.frames[seen].float(), features.mels[heard].float(), generator)
        tokens = see(model, patch(frames), features.grid), hear(model, mels)
        pictures = [bank.pictures[i] for i in seen.tolist()]
        labels = moments(pictures, [bank.events[i] for i in heard.tolist()], bank.seconds)
        pairs = {f"dense_{k}": (x, labels[k]) for k, x in dense(*tokens).items()}
        if bank.hard:
            return {f"hard_{k}": v for k, v in pairs.items()}
        whole = targets(pictures, [bank.sounds[i] for i in heard.tolist()])
        return pairs | {k: (x, whole[k]) for k, x in heads(*tokens).items()}

    def step_of(step: int) -> dict[str, float]:
        generator = torch.Generator().manual_seed(derive_seed("encoders", spec.seed, step))
        pairs = read(easy, spec.encoder_batch, generator)
        if hard:
            pairs |= read(hard[step % len(hard)], spec.hard_batch, generator)
        losses = [F.cross_entropy(logits, labels, ignore_index=IGNORE) for logits, labels in pairs.values()]
        loss = torch.stack([x for x in losses if torch.isfinite(x)]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return {"loss": loss.item()} | {
            k: float((logits.argmax(-1) == labels)[labels != IGNORE].float().mean())
            for k, (logits, labels) in pairs.items()
        }

    Phase("encoders", towers, spec.encoder_steps, spec.encoder_lr, spec, work).run(step_of, report)


class Layout:
    """The prompt up to the question, for one setting and length: token ids, where media go, M-RoPE positions."""

    def __init__(self, model: Any, processor: Any, features: Features, setting: Settings, interleaved: bool) -> None:
        seconds = features.seconds
        text = "<|im_start|>user\n"
        media: dict[str, Any] = {}
        if setting[0]:
            text += "<|vision_bos|><|VIDEO|><|vision_eos|>"
            media["videos"] = [np.zeros((2 * seconds, FRAME, FRAME, 3), np.uint8)]
        if setting[1]:
            text += "" if interleaved else "<|audio_bos|><|AUDIO|><|audio_eos|>"
            media["audio"] = [np.zeros(16_000 * seconds, np.float32)]
        shown = {"do_sample_frames": False, "fps": 2.0, "size": VIDEO_SIZE, "use_audio_in_video": interleaved}
        inputs = processor(text=[text], **media, videos_kwargs=shown, return_tensors="pt")
        self.setting, self.ids = setting, inputs["input_ids"][0]
        self.video_at = (self.ids == model.config.video_token_id).nonzero().flatten()
        self.audio_at = (self.ids == model.config.audio_token_id).nonzero().flatten()
        lengths = inputs.get("feature_attention_mask")
        positions, _ = model.get_rope_index(
            inputs["input_ids"],
            video_grid_thw=inputs.get("video_grid_thw"),
            attention_mask=torch.ones_like(inputs["input_ids"]),
            use_audio_in_video=interleaved,
            audio_seqlens=None if lengths is None else lengths.sum(-1),
            second_per_grids=torch.tensor([1.0]) if setting[0] else None,
        )
        self.positions = positions[:, 0].long()


def train_lookup(model: Any, tokenizer: Any, spec: TrainSpec, work: Path, report: Report) -> None:
    """Phase two, on text alone."""
    special = set(tokenizer.all_special_ids)
    vocabulary = [i for i in range(len(tokenizer)) if i not in special]
    comma = tokenizer.encode(",")[0]

    def step_of(step: int) -> dict[str, float]:
        rng = random.Random(derive_seed("lookup", spec.seed, step))
        ids = torch.tensor([make_lookup(vocabulary, comma, rng) for _ in range(spec.lookup_batch)])
        positions = torch.arange(ids.shape[1]).expand(3, len(ids), -1)
        embeds = model.get_input_embeddings()(ids)
        out = model.model(inputs_embeds=embeds, position_ids=positions, use_cache=False)
        logits = model.lm_head(out.last_hidden_state[:, -2])
        loss = F.cross_entropy(logits, ids[:, -1])
        loss.backward()  # type: ignore[no-untyped-call]
        return {"loss": loss.item(), "answers": float((logits.argmax(-1) == ids[:, -1]).float().mean())}

    learner = nn.ModuleList([model.model, model.lm_head])
    Phase("lookup", learner, spec.lookup_steps, spec.lookup_lr, spec, work).run(step_of, report)


class Class:
    """One bank in phase three: what the frozen towers say of it, its prompts' layouts, and its lessons."""

    def __init__(self, model: Any, processor: Any, material: Material) -> None:
        features = material.features
        self.seen, self.heard = perceive(model, features)
        self.lessons = Lessons(processor.tokenizer, material.bank)
        self.layouts = {s: Layout(model, processor, features, s, False) for s in (AV, A, V, NOTHING)}
        self.interleaved = Layout(model, processor, features, AV, True)

    def layout(self, setting: Settings, rng: random.Random) -> Layout:
        """How a setting is shown: sound and picture are sometimes interleaved."""
        together = setting == AV and rng.random() < INTERLEAVED_SHARE
        return self.interleaved if together else self.layouts[setting]


def train_language_model(
    model: Any, processor: Any, materials: list[Material], spec: TrainSpec, work: Path, report: Report
) -> None:
    """Phases three and four, on frozen towers; every other step is of the hard world, one length at a time.

    That what is asked is what is there, word for word, is learnt last and by itself: among all else it is not.
    """
    easy, *hard = [Class(model, processor, m) for m in materials]
    quarter, blind = spec.lm_batch // 4, max(1, spec.lm_batch // 24)
    shares = {AV: spec.lm_batch - 2 * quarter, A: quarter - blind, V: quarter - blind, NOTHING: 2 * blind}

    def step_of(step: int, comparing: bool = False) -> dict[str, float]:
        rng = random.Random(derive_seed("compare" if comparing else "lm", spec.seed, step))
        taught = rng.choice(hard) if hard and step % (4 if comparing else 2) else easy
        total, hits, answers = 0.0, 0.0, 0
        for setting, size in shares.items():
            if size < 1:
                continue
            batch = [taught.lessons.make(setting, rng, comparing) for _ in range(size)]
            loss, right, count = _lm_loss(model, taught.layout(setting, rng), batch, taught.seen, taught.heard)
            (loss * size / spec.lm_batch).backward()  # type: ignore[no-untyped-call]
            total += loss.item() * size / spec.lm_batch
            if setting == AV:
                hits, answers = right, count
        return {"loss": total, "answers": hits / max(1, answers)}

    learner = nn.ModuleList([model.model, model.lm_head])
    Phase("language model", learner, spec.lm_steps, spec.lm_lr, spec, work).run(step_of, report)
    if hard:
        comparing = Phase("comparing", learner, spec.compare_steps, spec.compare_lr, spec, work)
        comparing.run(partial(step_of, comparing=True), report)


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
    next_ids, weight = ids[:, prefix:], weights[:, prefix:]
    keep = weight > 0
    logits = model.lm_head(hidden[keep])
    loss = F.cross_entropy(logits, next_ids[keep], reduction="none")
    is_deciding = weight[keep] > 1
    right = (logits.argmax(-1) == next_ids[keep])[is_deciding]
    return (loss * weight[keep]).sum() / weight[keep].sum(), float(right.sum()), int(is_deciding.sum())


def train(banks: Sequence[Bank], out: Path, work: Path, spec: TrainSpec, report: Report) -> None:
    """Train from scratch, or resume, and write the checkpoint to ``out``.

    ``banks`` are the easy world's, first, and one for each length of the hard world.

    Raises:
        UserError: if ``work`` holds the progress of another recipe.
    """
    work.mkdir(parents=True, exist_ok=True)
    spec_json = json.dumps(asdict(spec), indent=1)
    recorded = work / "spec.json"
    if recorded.exists() and recorded.read_text("utf-8") != spec_json:
        raise UserError(f"{work} holds the progress of another recipe ({recorded}); give a different --work")
    write_text(recorded, spec_json)
    tokenizer = make_tokenizer()
    processor = make_processor(tokenizer)
    model = make_thinker(make_config(tokenizer), spec.seed)
    materials = [Material(bank, Features(bank, processor)) for bank in banks]
    model.train()
    train_encoders(model, materials, spec, work, report)
    model.eval()
    train_lookup(model, tokenizer, spec, work, report)
    train_language_model(model, processor, materials, spec, work, report)
    save_checkpoint(model, processor, out)
