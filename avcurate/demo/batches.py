"""Training sequences of the embedded model: what it is asked and what it should say.

Knows tokens and the layout of a prompt; knows no tensors of media and no optimiser.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from avcurate.demo.questions import TYPE_BY_NAME, draft, reasoning
from avcurate.demo.world import Picture, Sound
from avcurate.prompts import COT, SEPARATE_THEN_FUSE

Settings = tuple[bool, bool]  # picture given, sound given
AV, V, A = (True, True), (True, False), (False, True)

WEIGHTS = {
    "color": 1.0,
    "shape": 1.2,
    "motion": 1.2,
    "object_count": 1.0,
    "timbre": 1.0,
    "sound_count": 1.2,
    "rhythm": 1.2,
    "color_when": 2.4,
    "sound_when": 2.4,
    "number": 0.7,
    "word": 0.8,
    "owner": 0.5,
}
FUSE_SHARE = 0.15
ANSWER_WEIGHT = 3.0
PEM = ("Audio", "Visual", "Audio-Visual")


@dataclass(frozen=True)
class Sequence:
    """One training sequence without its media: token ids after the media block, and loss weights.

    ``picture`` and ``sound`` are rows of the bank. ``weights`` is 0 on the prompt.
    """

    picture: int
    sound: int
    tokens: list[int]
    weights: list[float]


def write_answer(
    q: Any, picture: Picture | None, sound: Sound | None, rng: random.Random, fuse: bool
) -> tuple[str, str]:
    """(reasoning, answer) in the tags of the prompt; the words depend on what was perceived.

    The separate-then-fuse form names a modality at random: the embedded model is taught the format
    but no preference, so that training on curated labels has something to teach.
    """
    seen, heard, conclusion, answer = reasoning(q, picture, sound, rng)
    if fuse:
        head = f"<mod>{rng.choice(PEM)}</mod><v>{seen}</v><a>{heard}</a><sum>{conclusion}</sum>"
        return head, f"<ans> {answer}</ans>"
    return f"<think>{seen} {heard} {conclusion}</think>", f"<answer> {answer}</answer>"


def make_sequence(
    tokenizer: Any,
    pictures: list[Picture],
    sounds: list[Sound],
    by_kind: dict[str, tuple[list[int], list[int]]],
    setting: Settings,
    rng: random.Random,
) -> Sequence:
    """One random question about one random pair of picture and sound, with its target."""
    name = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
    kind = TYPE_BY_NAME[name]
    family = "sequence" if kind.evidence == "both" else "group"
    if name in ("shape", "motion", "word", "owner") and rng.random() < 0.3:
        family = "sequence"
    while True:
        i, k = rng.choice(by_kind[family][0]), rng.choice(by_kind[family][1])
        if kind.fits(pictures[i], sounds[k]):
            break
    q = draft(kind, pictures[i], sounds[k], rng)
    fuse = rng.random() < FUSE_SHARE
    prompt = (SEPARATE_THEN_FUSE if fuse else COT).render(q.text, q.choices)
    thought, answer = write_answer(q, pictures[i] if setting[0] else None, sounds[k] if setting[1] else None, rng, fuse)
    head = tokenizer.encode(f"{prompt}<|im_end|>\n<|im_start|>assistant\n")
    body = tokenizer.encode(thought)
    tail = tokenizer.encode(answer)
    end = tokenizer.encode("<|im_end|>")
    weights = [0.0] * len(head) + [1.0] * len(body) + [ANSWER_WEIGHT] * len(tail) + [1.0] * len(end)
    return Sequence(i, k, head + body + tail + end, weights)


def split_by_kind(pictures: list[Picture], sounds: list[Sound]) -> dict[str, tuple[list[int], list[int]]]:
    """Rows of the bank by kind: (pictures, sounds) of groups and of sequences."""
    return {
        kind: (
            [i for i, p in enumerate(pictures) if p.kind == kind],
            [i for i, s in enumerate(sounds) if s.kind == kind],
        )
        for kind in ("group", "sequence")
    }
