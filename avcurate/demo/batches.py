"""Training sequences of the embedded model: what it is asked and what it should say.

Works on tokens and prompt layout; no media tensors, no optimiser.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from avcurate.demo.questions import TYPE_BY_NAME, Draft, draft, reasoning
from avcurate.demo.world import Picture, Sound
from avcurate.prompts import COT, SEPARATE_THEN_FUSE
from avcurate.schema import PEM

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
    "word": 1.4,
    "owner": 0.5,
}
FUSE_SHARE = 0.15
DECIDING_WEIGHT = 4.0
LOOKUP_PAIRS = 4


@dataclass(frozen=True)
class Sequence:
    """One training sequence without its media: token ids after the media block, and loss weights.

    ``picture`` and ``sound`` are rows of the bank. ``weights`` is 0 on the prompt.
    """

    picture: int
    sound: int
    tokens: list[int]
    weights: list[float]


def write_target(
    q: Draft, picture: Picture | None, sound: Sound | None, rng: random.Random, fuse: bool
) -> tuple[str, str, bool]:
    """(perception, conclusion and answer, whether it is known) in the tags of the prompt.

    The words depend on what was perceived. The separate-then-fuse form names a modality at random: the
    embedded model is taught the format but no preference, so that training on curated labels has
    something to teach.
    """
    seen, heard, conclusion, answer = reasoning(q, picture, sound, rng)
    known = "guess" not in conclusion
    if fuse:
        head = f"<mod>{rng.choice(tuple(PEM))}</mod><v>{seen}</v><a>{heard}</a><sum>"
        return head, f"{conclusion}</sum><ans> {answer}</ans>", known
    return f"<think>{seen} {heard}", f" {conclusion}</think><answer> {answer}</answer>", known


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
    shown = (pictures[i] if setting[0] else None, sounds[k] if setting[1] else None)
    perceived, decided, known = write_target(q, *shown, rng, fuse)
    head = tokenizer.encode(f"{prompt}<|im_end|>\n<|im_start|>assistant\n")
    body = tokenizer.encode(perceived)
    tail = tokenizer.encode(f"{decided}<|im_end|>")
    weights = [0.0] * len(head) + [1.0] * len(body) + [DECIDING_WEIGHT if known else 1.0] * len(tail)
    return Sequence(i, k, head + body + tail, weights)


def make_lookup(vocabulary: list[int], comma: int, rng: random.Random) -> list[int]:
    """Pairs of random tokens, then the first of one pair again: what follows must be its second.

    ``x1 y1 , x2 y2 , x3 y3 , x4 y4 , x2 y2``: text alone, one query each, so that pair lookup in
    one's own reasoning is learned before it is needed.
    """
    tokens = rng.sample(vocabulary, 2 * LOOKUP_PAIRS)
    pairs = list(zip(tokens[::2], tokens[1::2], strict=True))
    return [t for x, y in pairs for t in (x, y, comma)] + list(rng.choice(pairs))


def split_by_kind(pictures: list[Picture], sounds: list[Sound]) -> dict[str, tuple[list[int], list[int]]]:
    """Rows of the bank by kind: (pictures, sounds) of groups and of sequences."""
    return {
        kind: (
            [i for i, p in enumerate(pictures) if p.kind == kind],
            [i for i, s in enumerate(sounds) if s.kind == kind],
        )
        for kind in ("group", "sequence")
    }
