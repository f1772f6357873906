"""The embedded judge: a language model of half a million weights that judges captions of the demo world, and no others.

Trained from scratch on CPU in minutes. The fixed part of the prompt (task and examples) goes through the model once per
step, not once per row.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from avcurate.demo.architecture import CHAT_TEMPLATE, bpe_tokenizer
from avcurate.demo.verdicts import Lesson, corpus, lesson
from avcurate.metrics.judging import Modality

BATCH = 48


@dataclass(frozen=True)
class Phase:
    """Steps at a learning rate that rises and falls once, the order of modalities, and the kind of lessons.

    ``weight`` is that of the words yes and no relative to all others.
    """

    steps: int
    rate: float
    turns: tuple[Modality, ...]
    partly: bool = False
    weight: float = 1.0


# copying is learned at once at a high rate; comparing four sounds in order takes longest, at a low one
PHASES = (
    Phase(1600, 2e-3, ("audio", "video")),
    Phase(1000, 7e-4, ("audio", "audio", "video")),
    Phase(600, 1e-3, ("audio", "audio", "audio", "video"), partly=True, weight=10.0),
)
Report = Callable[[int, int, dict[str, float]], None]


def make_tokenizer() -> Any:
    """A byte-level BPE tokenizer of the judge's prompts and replies."""
    tokenizer = bpe_tokenizer(corpus(400, seed=1), 1100, 2048)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: Any) -> Any:
    """A small Llama with random weights."""
    config = hf.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return hf.LlamaForCausalLM(config)


def train_judge(out: Path, phases: tuple[Phase, ...] = PHASES, seed: int = 0, report: Report = lambda *_: None) -> None:
    """Train and save the judge."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer).train()
    done, total = 0, sum(p.steps for p in phases)
    for number, phase in enumerate(phases):
        rng = random.Random(seed + number)
        optimiser = torch.optim.AdamW(model.parameters(), lr=phase.rate, betas=(0.9, 0.98), weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, phase.rate, total_steps=phase.steps, pct_start=0.1)
        for step in range(1, phase.steps + 1):
            modality = phase.turns[step % len(phase.turns)]
            loss = _loss(model, tokenizer, [lesson(modality, rng, phase.partly) for _ in range(BATCH)], phase.weight)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            done += 1
            report(done, total, {"loss": loss.item()})
    model.eval().save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)


def _loss(model: Any, tokenizer: Any, lessons: list[Lesson], weight: float = 1.0) -> torch.Tensor:
    """Cross-entropy of the replies of lessons in one modality."""

    def ids(text: str) -> list[int]:
        token_ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return token_ids

    shown = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": item.prompt}], tokenize=False, add_generation_prompt=True
        )
        for item in lessons
    ]
    cut = shown[0].rindex("\n\n") + 2
    head = ids(shown[0][:cut])
    prompts = [ids(text[cut:]) for text in shown]
    replies = [[*ids(item.reply), tokenizer.eos_token_id] for item in lessons]
    longest = max(len(p) + len(r) for p, r in zip(prompts, replies, strict=True))
    rows = torch.full((len(lessons), longest), tokenizer.pad_token_id)
    labels = torch.full((len(lessons), longest), -100)
    for i, (p, r) in enumerate(zip(prompts, replies, strict=True)):
        rows[i, : len(p) + len(r)] = torch.tensor(p + r)
        labels[i, len(p) : len(p) + len(r)] = torch.tensor(r)
    cache = model(input_ids=torch.tensor([head]), use_cache=True).past_key_values
    cache.batch_repeat_interleave(len(lessons))
    logits = model(input_ids=rows, past_key_values=cache, use_cache=True).logits
    targets = labels[:, 1:].flatten()
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), targets, ignore_index=-100, reduction="none"
    )
    deciding = torch.isin(targets, torch.tensor([i for word in (" yes", " no") for i in ids(word)]))
    weights = (targets != -100).float() * torch.where(deciding, weight, 1.0)
    return (losses * weights).sum() / weights.sum()
