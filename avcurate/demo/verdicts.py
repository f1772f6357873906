"""What a fair judge says of captions of the demo world: the examples the embedded judge learns from.

The prompt is that of ``avcurate judge``; the verdict walks through what is heard (or seen), names what the caption says
of each thing, and scores the share that is right. Works on specifications and words; no torch.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from avcurate.demo.captions import hear, see
from avcurate.demo.world import Kind, Picture, Sound, draw_picture, draw_sound
from avcurate.metrics.judging import Modality, judge_prompt

T = TypeVar("T", Picture, Sound)
KINDS: tuple[Kind, ...] = ("group", "sequence")
_FORMS = (
    "{see} while {hear}",
    "{see}, {hear}",
    "{hear}; {see}",
    "In the clip {see}, and {hear}.",
    "We see {see}. We hear {hear}.",
)


@dataclass(frozen=True)
class Lesson:
    """One question to the judge and its right verdict."""

    modality: Modality
    prompt: str
    reply: str
    score: float


def parts(thing: Picture | Sound | None) -> tuple[str, ...]:
    """What can be right or wrong about a sound or a picture, in the order of its caption."""
    if thing is None:
        return ()
    if isinstance(thing, Sound):
        if thing.kind == "sequence":
            return thing.timbres
        return (thing.timbres[0], str(thing.count), *((thing.rhythm,) if thing.rhythm else ()))
    if thing.kind == "sequence":
        return (thing.shape, thing.motion, *thing.colors)
    return (str(thing.count), thing.colors[0], thing.shape, thing.motion)


def caption(picture: Picture | None, sound: Sound | None, rng: random.Random) -> str:
    """A caption of what is given, in one of several forms."""
    if picture is None or sound is None:
        return hear(sound) if sound else see(picture) if picture else "nothing"
    return rng.choice(_FORMS).format(see=see(picture), hear=hear(sound))


def verdict(real: Picture | Sound, said: Picture | Sound | None) -> tuple[str, float]:
    """The judge's reply, and its score: the share of the real thing's parts that the caption gets right."""
    said_parts: tuple[str, ...] = parts(said)
    if said is None or said.kind != real.kind:
        said_parts = ()
    pairs = [(p, said_parts[i] if i < len(said_parts) else "nothing") for i, p in enumerate(parts(real))]
    right = sum(a == b for a, b in pairs)
    walk = ", ".join(f"{a} {b} {'yes' if a == b else 'no'}" for a, b in pairs)
    score = round(right / len(pairs), 2)
    return json.dumps({"reason": f"{walk}: {right} of {len(pairs)}", "score": score}), score


def lesson(modality: Modality, rng: random.Random, partly: bool = False) -> Lesson:
    """A random clip, a caption that is right about more or less of it, and what a fair judge says.

    ``partly``: more sequences, and a wrong one is often right in two of its four places; otherwise it is mostly wrong
    in all, and a judge need look at one place only.
    """
    kinds: tuple[Kind, ...] = (*KINDS, "sequence", "sequence") if partly else KINDS
    sound, picture = draw_sound(rng, rng.choice(kinds)), draw_picture(rng, rng.choice(kinds))
    said_sound, said_picture = _retold(sound, rng, partly), _retold(picture, rng, partly)
    if said_sound is None and said_picture is None:
        said_picture, said_sound = picture, sound
    text = caption(said_picture, said_sound, rng)
    if modality == "audio":
        reply, score = verdict(sound, said_sound)
        return Lesson(modality, judge_prompt("audio", [hear(sound)], text), reply, score)
    reply, score = verdict(picture, said_picture)
    return Lesson(modality, judge_prompt("video", [see(picture)], text), reply, score)


def _retold(real: T, rng: random.Random, partly: bool) -> T | None:
    """What a caption says instead: the truth, another thing of the same kind, any other, or nothing."""
    fate = rng.random()
    if fate < 0.3:
        return real
    if fate < 0.9:
        kind = real.kind if fate < 0.7 else rng.choice(KINDS)
        other = draw_picture(rng, kind) if isinstance(real, Picture) else draw_sound(rng, kind)
        if partly and fate < 0.6 and real.kind == "sequence":
            return _two_exchanged(real, rng)  # type: ignore[return-value]
        return _mixed(real, other, rng) if fate < 0.6 else other  # type: ignore[return-value]
    return None


def _two_exchanged(real: Picture | Sound, rng: random.Random) -> Picture | Sound:
    """A sequence with two of its places exchanged."""
    places = list(real.timbres if isinstance(real, Sound) else real.colors)
    i, j = rng.sample(range(len(places)), 2)
    places[i], places[j] = places[j], places[i]
    if isinstance(real, Sound):
        return replace(real, timbres=tuple(places))
    return replace(real, colors=tuple(places))


def _mixed(real: Picture | Sound, other: Picture | Sound, rng: random.Random) -> Picture | Sound:
    """Some parts of one and some of the other, where both are groups."""
    if real.kind == "sequence" or real.kind != other.kind:
        return other
    if isinstance(real, Picture) and isinstance(other, Picture):
        a, b, c, d = (rng.random() < 0.5 for _ in range(4))
        return Picture(
            "group",
            real.shape if a else other.shape,
            real.motion if b else other.motion,
            real.count if c else other.count,
            real.colors if d else other.colors,
        )
    assert isinstance(real, Sound) and isinstance(other, Sound)
    timbres = real.timbres if rng.random() < 0.5 else other.timbres
    counted = real if rng.random() < 0.5 else other
    return Sound("group", counted.count, counted.rhythm, timbres)


def corpus(count: int, seed: int) -> Iterator[str]:
    """Text for a tokenizer."""
    rng = random.Random(seed)
    for _ in range(count):
        example = lesson(rng.choice(("audio", "video")), rng)
        yield example.prompt
        yield example.reply
