"""Training sequences of the embedded model: what it is asked and what it should say.

Works on tokens and prompt layout; no media tensors, no optimiser.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from avcurate.demo.bank import Bank
from avcurate.demo.hard_questions import HARD_BY_NAME
from avcurate.demo.questions import COMPARED, TYPE_BY_NAME, Draft, describe_picture, describe_sound, draft, reasoning
from avcurate.demo.world import THINGS, TOGETHER, Picture, Sound
from avcurate.prompts import CAPTION, COT, HEAR, SEE, SEPARATE_THEN_FUSE
from avcurate.schema import PEM

Settings = tuple[bool, bool]  # picture given, sound given
AV, V, A, NOTHING = (True, True), (True, False), (False, True), (False, False)

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
HARD_WEIGHTS = {
    **WEIGHTS,
    "word": 0.7,
    "visible": 1.2,
    "audible": 1.2,
    "match": 1.2,
    "which_heard": 0.8,
    "which_seen": 0.8,
    "order": 1.2,
    "order_both": 1.4,
}
FUSE_SHARE = 0.15
CAPTION_SHARE = 0.08
COMPARING_SHARE = 0.75
YES_NO_WEIGHT = 8.0
DECIDING_WEIGHT = 4.0
LOOKUP_PAIRS = 4
# asked of sequences too, now and then
MIXED = ("shape", "motion", "visible", "audible", "which_seen", "word", "owner")


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


class Lessons:
    """Random questions, and captions asked for, about random pairs of a bank's pictures and sounds."""

    def __init__(self, tokenizer: Any, bank: Bank) -> None:
        self.tokenizer, self.bank = tokenizer, bank
        self.types = HARD_BY_NAME if bank.hard else TYPE_BY_NAME
        self.weights = HARD_WEIGHTS if bank.hard else WEIGHTS
        self._yes_no = {t for word in (" Yes", " No") for t in tokenizer.encode(word)}
        self.pictures = _by_kind(bank.pictures)
        self.sounds = _by_kind(bank.sounds)
        self.voices: dict[str, list[int]] = {}
        for i, sound in enumerate(bank.sounds):
            if sound.kind == "group":
                self.voices.setdefault(sound.timbres[0], []).append(i)

    def make(self, setting: Settings, rng: random.Random, comparing: bool = False) -> Sequence:
        """One sequence under a setting, with its target; ``comparing``: most are yes/no questions, on which Yes or No
        counts most."""
        if rng.random() < CAPTION_SHARE:
            return self._caption(setting, rng)
        name = rng.choices(tuple(self.weights), tuple(self.weights.values()))[0]
        if comparing and self.bank.hard and rng.random() < COMPARING_SHARE:
            name = rng.choice(COMPARED)
        kind = self.types[name]
        family = "sequence" if name in ("color_when", "sound_when", "order", "order_both") else "group"
        if name in MIXED and rng.random() < 0.3:
            family = "sequence"
        while True:
            i, k = self._pair(family, rng)
            if kind.fits(self.bank.pictures[i], self.bank.sounds[k]):
                break
        q = draft(kind, self.bank.pictures[i], self.bank.sounds[k], rng)
        fuse = rng.random() < FUSE_SHARE
        prompt = (SEPARATE_THEN_FUSE if fuse else COT).render(q.text, q.choices)
        perceived, decided, known = write_target(q, *self._shown(i, k, setting), rng, fuse)
        head, body, tail = self._tokens(prompt, perceived, f"{decided}<|im_end|>")
        deciding = [DECIDING_WEIGHT if known else 1.0] * len(tail)
        if comparing and known and name in COMPARED:
            deciding = [w * (YES_NO_WEIGHT if t in self._yes_no else 1) for w, t in zip(deciding, tail, strict=True)]
        weights = [0.0] * len(head) + [1.0] * len(body) + deciding
        return Sequence(i, k, head + body + tail, weights)

    def _caption(self, setting: Settings, rng: random.Random) -> Sequence:
        i, k = self._pair("group" if rng.random() < 0.6 else "sequence", rng)
        picture, sound = self._shown(i, k, setting)
        prompt = rng.choice((CAPTION, SEE, HEAR))
        parts = [] if prompt is HEAR else [describe_picture(picture)]
        parts += [] if prompt is SEE else [describe_sound(sound)]
        head, body, tail = self._tokens(prompt.render("", ()), " ".join(parts), "<|im_end|>")
        return Sequence(i, k, head + body + tail, [0.0] * len(head) + [1.0] * len(body + tail))

    def _pair(self, family: str, rng: random.Random) -> tuple[int, int]:
        """A picture and a sound; in the hard world the thing that is seen is often heard."""
        i, k = rng.choice(self.pictures[family]), rng.choice(self.sounds[family])
        shape = self.bank.pictures[i].shape
        if family == "group" and shape in THINGS and rng.random() < TOGETHER:
            k = rng.choice(self.voices[shape])
        return i, k

    def _shown(self, i: int, k: int, setting: Settings) -> tuple[Picture | None, Sound | None]:
        return (self.bank.pictures[i] if setting[0] else None, self.bank.sounds[k] if setting[1] else None)

    def _tokens(self, prompt: str, body: str, tail: str) -> tuple[list[int], list[int], list[int]]:
        head = f"{prompt}<|im_end|>\n<|im_start|>assistant\n"
        return self.tokenizer.encode(head), self.tokenizer.encode(body), self.tokenizer.encode(tail)


def make_lookup(vocabulary: list[int], comma: int, rng: random.Random) -> list[int]:
    """Pairs of random tokens, then the first of one pair again: what follows must be its second.

    ``x1 y1 , x2 y2 , x3 y3 , x4 y4 , x2 y2``: text alone, one query each, so that pair lookup in
    one's own reasoning is learned before it is needed.
    """
    tokens = rng.sample(vocabulary, 2 * LOOKUP_PAIRS)
    pairs = list(zip(tokens[::2], tokens[1::2], strict=True))
    return [t for x, y in pairs for t in (x, y, comma)] + list(rng.choice(pairs))


def _by_kind(specs: Iterable[Picture | Sound]) -> dict[str, list[int]]:
    return {kind: [i for i, x in enumerate(specs) if x.kind == kind] for kind in ("group", "sequence")}
