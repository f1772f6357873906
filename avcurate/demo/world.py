"""What the demo world is made of: pictures and sounds as specifications, drawn at random.

Not about pixels, samples or questions. A clip is four seconds long, in four slots of one second; its
picture and its sound are drawn independently, so that neither predicts the other. In the hard world a clip
lasts 4 to 12 seconds, things are seen that also have a voice, what is seen is often what is heard, and both are
more or less degraded.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

CLIP_SECONDS = 4
SLOTS = 4

COLORS = ("red", "green", "blue", "yellow")
SHAPES = ("ring", "square", "triangle", "cross")
THINGS = ("bell", "siren", "drum", "whistle")
FORMS = (*SHAPES, *THINGS)
MOTIONS = ("left", "right", "up", "down")
TIMBRES = ("bell", "siren", "drum", "hiss", "buzz", "whistle")
RHYTHMS = ("steady", "quickening", "slowing", "paired")
MAX_COUNT = 4
ORDINALS = ("first", "second", "third", "fourth")

HARD_SECONDS = (4, 6, 8, 10, 12)
# how often, in the hard world, the thing that is seen is the thing that is heard
TOGETHER = 0.5

Kind = Literal["group", "sequence"]


@dataclass(frozen=True)
class Sight:
    """How well a picture is seen.

    Attributes:
        grain: standard deviation of coarse noise, in grey levels.
        contrast: opacity of the shapes, 0 to 1.
        blobs: grey discs that drift about and are no shapes.
        hidden: first and last second of a stretch that shows noise alone; empty if (0, 0).
    """

    grain: float = 0.0
    contrast: float = 1.0
    blobs: int = 0
    hidden: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Hearing:
    """How well a sound is heard.

    Attributes:
        hum: level of added noise, root mean square; 0 adds none.
        level: factor on the events' loudness, 0 to 1.
        clicks: short clicks that are no events.
    """

    hum: float = 0.0
    level: float = 1.0
    clicks: int = 0


CLEAR, CLEAN = Sight(), Hearing()


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
    seconds: int = CLIP_SECONDS
    sight: Sight = CLEAR
    hearing: Hearing = CLEAN


def draw_picture(rng: random.Random, kind: Kind, forms: tuple[str, ...] = SHAPES) -> Picture:
    """A picture with every attribute uniform and independent; ``forms`` are the shapes to draw from."""
    if kind == "group":
        color = rng.choice(COLORS)
        return Picture(kind, rng.choice(forms), rng.choice(MOTIONS), rng.randint(1, MAX_COUNT), (color,) * SLOTS)
    colors = tuple(rng.sample(COLORS, SLOTS))
    return Picture(kind, rng.choice(forms), rng.choice(MOTIONS), 1, colors)


def draw_sound(rng: random.Random, kind: Kind) -> Sound:
    """A sound with every attribute uniform and independent."""
    if kind == "group":
        count = rng.randint(1, MAX_COUNT)
        rhythm = rng.choice(RHYTHMS) if count == MAX_COUNT else None
        return Sound(kind, count, rhythm, (rng.choice(TIMBRES),))
    return Sound(kind, SLOTS, None, tuple(rng.sample(TIMBRES, SLOTS)))


def draw_voice(rng: random.Random, picture: Picture) -> Sound:
    """A group of sounds for a picture of the hard world: of the thing that is seen in ``TOGETHER`` of the clips."""
    sound = draw_sound(rng, "group")
    if picture.shape in THINGS and rng.random() < TOGETHER:
        return replace(sound, timbres=(picture.shape,))
    return sound


def draw_sight(rng: random.Random, seconds: int) -> Sight:
    """How well a picture of the hard world is seen: from nearly clear to hardly at all."""
    worse = rng.random()
    covered = (0.0, 0.0)
    if rng.random() < 0.2:
        length = rng.uniform(0.15, 0.4) * seconds
        start = rng.uniform(0, seconds - length)
        covered = (round(start, 3), round(start + length, 3))
    return Sight(round(60 * worse, 2), round(1 - 0.75 * worse * rng.random(), 3), rng.randint(0, 3), covered)


def draw_hearing(rng: random.Random) -> Hearing:
    """How well a sound of the hard world is heard: from nearly clean to drowned in noise."""
    worse = rng.random()
    hum = 10 ** ((-44 + 34 * worse) / 20)
    return Hearing(round(hum, 5), round(10 ** (-14 * worse * rng.random() / 20), 4), rng.randint(0, 4))
