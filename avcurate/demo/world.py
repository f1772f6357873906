"""What the demo world is made of: pictures and sounds as specifications, drawn at random.

Not about pixels, samples or questions. A clip is four seconds long, in four one-second
slots; its picture and its sound are drawn independently, so that neither predicts the other.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

CLIP_SECONDS = 4
SLOTS = 4

COLORS = ("red", "green", "blue", "yellow")
SHAPES = ("ring", "square", "triangle", "cross")
MOTIONS = ("left", "right", "up", "down")
TIMBRES = ("bell", "siren", "drum", "hiss", "buzz", "whistle")
RHYTHMS = ("steady", "quickening", "slowing", "paired")
MAX_COUNT = 4
ORDINALS = ("first", "second", "third", "fourth")

Kind = Literal["group", "sequence"]


@dataclass(frozen=True)
class Picture:
    """What is seen: a group of equal shapes drifting one way, or one shape that changes colour each slot.

    ``colors`` has one entry per slot; they are all equal in a group and all different in a sequence.
    """

    kind: Kind
    shape: str
    motion: str
    count: int
    colors: tuple[str, ...]


@dataclass(frozen=True)
class Sound:
    """What is heard: ``count`` events of one timbre, or one event of another timbre in each slot.

    ``rhythm`` is set only where there are four events of one timbre. ``timbres`` has one entry in
    a group and one per slot, all different, in a sequence.
    """

    kind: Kind
    count: int
    rhythm: str | None
    timbres: tuple[str, ...]


@dataclass(frozen=True)
class Clip:
    """One clip: a picture and a sound, with the seed that renders exactly it."""

    name: str
    picture: Picture
    sound: Sound
    seed: int


def draw_picture(rng: random.Random, kind: Kind) -> Picture:
    """A picture with every attribute uniform and independent."""
    if kind == "group":
        color = rng.choice(COLORS)
        return Picture(kind, rng.choice(SHAPES), rng.choice(MOTIONS), rng.randint(1, MAX_COUNT), (color,) * SLOTS)
    colors = tuple(rng.sample(COLORS, SLOTS))
    return Picture(kind, rng.choice(SHAPES), rng.choice(MOTIONS), 1, colors)


def draw_sound(rng: random.Random, kind: Kind) -> Sound:
    """A sound with every attribute uniform and independent."""
    if kind == "group":
        count = rng.randint(1, MAX_COUNT)
        rhythm = rng.choice(RHYTHMS) if count == MAX_COUNT else None
        return Sound(kind, count, rhythm, (rng.choice(TIMBRES),))
    return Sound(kind, SLOTS, None, tuple(rng.sample(TIMBRES, SLOTS)))
