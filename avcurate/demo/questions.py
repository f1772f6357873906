"""Questions about a clip of the demo world, with the evidence that decides each by construction.

Knows the specifications of a clip, never its pixels or samples. Every question has four choices in
random order and an answer that is uniform over them given the question's text, so that a reader
of the text alone stays at chance (but for ``word`` questions, which the text decides).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from avcurate.demo.world import (
    COLORS,
    MAX_COUNT,
    MOTIONS,
    ORDINALS,
    RHYTHMS,
    SHAPES,
    TIMBRES,
    Picture,
    Sound,
)

Evidence = Literal["audio", "visual", "both", "either", "text", "none"]

N_CHOICES = 4
COUNTS = tuple(str(i) for i in range(1, MAX_COUNT + 1))
OWNERS = ("Alice", "Bruno", "Chloe", "Dario", "Emma", "Felix")
CATEGORIES = {"colour": COLORS, "shape": SHAPES, "sound": TIMBRES, "direction": MOTIONS}


@dataclass(frozen=True)
class Draft:
    """One question about one clip: its wording, choices, right answer, deciding evidence, and what it asks about."""

    type: str
    evidence: Evidence
    text: str
    choices: tuple[str, ...]
    answer: str
    about: str = ""


@dataclass(frozen=True)
class QuestionType:
    """A family of questions: which clips it fits, its wordings, and its answer on a clip."""

    name: str
    evidence: Evidence
    wordings: tuple[str, ...]
    fits: Callable[[Picture, Sound], bool]
    ask: Callable[[Picture, Sound, random.Random], tuple[dict[str, str], tuple[str, ...], str]]


def _among(pool: tuple[str, ...], answer: str, rng: random.Random) -> tuple[str, ...]:
    others = rng.sample([x for x in pool if x != answer], N_CHOICES - 1)
    return (answer, *others)


def _color(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    return {}, COLORS, p.colors[0]


def _shape(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    return {}, SHAPES, p.shape


def _motion(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    return {}, MOTIONS, p.motion


def _object_count(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    return {}, COUNTS, str(p.count)


def _timbre(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    return {}, _among(TIMBRES, s.timbres[0], rng), s.timbres[0]


def _sound_count(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    return {}, COUNTS, str(s.count)


def _rhythm(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    assert s.rhythm is not None
    return {}, RHYTHMS, s.rhythm


def _color_when(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    slot = rng.randrange(len(p.colors))
    return {"timbre": s.timbres[slot]}, COLORS, p.colors[slot]


def _sound_when(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    slot = rng.randrange(len(p.colors))
    return {"color": p.colors[slot]}, s.timbres, s.timbres[slot]


def _number(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    return {}, COUNTS, str(p.count)


def _word(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    name = rng.choice(tuple(CATEGORIES))
    answer = rng.choice(CATEGORIES[name])
    others = [rng.choice(pool) for key, pool in CATEGORIES.items() if key != name]
    return {"category": name}, (answer, *others), answer


def _owner(p: Picture, s: Sound, rng: random.Random) -> tuple[dict[str, str], tuple[str, ...], str]:
    answer = rng.choice(OWNERS)
    return {}, _among(OWNERS, answer, rng), answer


def _both_groups(p: Picture, s: Sound) -> bool:
    return p.kind == "group" and s.kind == "group"


def _both_sequences(p: Picture, s: Sound) -> bool:
    return p.kind == "sequence" and s.kind == "sequence"


def _any(p: Picture, s: Sound) -> bool:
    return True


TYPES: tuple[QuestionType, ...] = (
    QuestionType(
        "color",
        "visual",
        ("What colour is the shape?", "Which colour do you see?", "Name the colour on the screen."),
        _both_groups,
        _color,
    ),
    QuestionType(
        "shape",
        "visual",
        ("What shape is on the screen?", "Which shape do you see?", "Name the shape in the picture."),
        _any,
        _shape,
    ),
    QuestionType(
        "motion",
        "visual",
        ("Which way does the shape move?", "In which direction is it moving?", "Where is the shape heading?"),
        _any,
        _motion,
    ),
    QuestionType(
        "object_count",
        "visual",
        (
            "How many shapes are there?",
            "Count the shapes on the screen.",
            "What number of shapes do you see?",
        ),
        _both_groups,
        _object_count,
    ),
    QuestionType(
        "timbre",
        "audio",
        ("What makes the sound?", "Which sound do you hear?", "Name the sound in the clip."),
        _both_groups,
        _timbre,
    ),
    QuestionType(
        "sound_count",
        "audio",
        ("How many sounds are there?", "Count the sounds in the clip.", "What number of sounds do you hear?"),
        _both_groups,
        _sound_count,
    ),
    QuestionType(
        "rhythm",
        "audio",
        ("What is the rhythm of the sounds?", "Which rhythm do you hear?", "How are the sounds spaced?"),
        lambda p, s: _both_groups(p, s) and s.rhythm is not None,
        _rhythm,
    ),
    QuestionType(
        "color_when",
        "both",
        (
            "What colour is the shape when the {timbre} sounds?",
            "Which colour do you see while you hear the {timbre}?",
            "At the moment of the {timbre}, what is the colour?",
        ),
        _both_sequences,
        _color_when,
    ),
    QuestionType(
        "sound_when",
        "both",
        (
            "Which sound plays when the shape is {color}?",
            "What do you hear while the picture is {color}?",
            "At the moment of {color}, what makes the sound?",
        ),
        _both_sequences,
        _sound_when,
    ),
    QuestionType(
        "number",
        "either",
        (
            "Which number do sound and picture share?",
            "What count do picture and sound agree on?",
        ),
        lambda p, s: _both_groups(p, s) and p.count == s.count,
        _number,
    ),
    QuestionType(
        "word",
        "text",
        ("Which of these words is a {category}?", "Pick the word for a {category}."),
        _any,
        _word,
    ),
    QuestionType(
        "owner",
        "none",
        ("Who made this clip?", "What is the name of the author?"),
        _any,
        _owner,
    ),
)
TYPE_BY_NAME = {t.name: t for t in TYPES}
# their reasoning lays sound and picture side by side, slot by slot
LOOKUPS = ("color_when", "sound_when")
# theirs puts what is asked beside what is there, so that Yes or No follows from words that stand together
COMPARED = ("visible", "audible", "match")


def conflicts(p: Picture, s: Sound) -> bool:
    """Whether picture and sound show different numbers (only groups have a number)."""
    return _both_groups(p, s) and p.count != s.count


def draft(kind: QuestionType, p: Picture, s: Sound, rng: random.Random) -> Draft:
    """One question of the type about this picture and sound, choices shuffled."""
    words, choices, answer = kind.ask(p, s, rng)
    text = rng.choice(kind.wordings).format(**words)
    shuffled = tuple(rng.sample(choices, len(choices)))
    return Draft(kind.name, kind.evidence, text, shuffled, answer, words.get("x", ""))


def reasoning(q: Draft, p: Picture | None, s: Sound | None, rng: random.Random) -> tuple[str, str, str, str]:
    """What a perfect but honest observer says: (seen, heard, conclusion, answer).

    ``p`` or ``s`` is ``None`` where that modality was not given. Where the evidence is missing the
    observer says so and guesses uniformly among the choices.
    """
    seen = describe_picture(p)
    heard = describe_sound(s)
    answer = q.answer
    known = {
        "visual": p is not None,
        "audio": s is not None,
        "both": p is not None and s is not None,
        "either": p is not None or s is not None,
        "text": True,
        "none": False,
    }[q.evidence]
    if not known:
        answer = rng.choice(q.choices)
        return seen, heard, f"I guess {answer}.", answer
    if q.type in COMPARED:
        return seen, heard, f"{_beside(q, p, s)} So {answer}.", answer
    if q.type in LOOKUPS:
        assert p is not None and s is not None
        return seen, heard, _fuse(q.type, p, s, answer), answer
    return seen, heard, f"So {answer}.", answer


def _beside(q: Draft, p: Picture | None, s: Sound | None) -> str:
    shown = "" if p is None else p.shape
    played = "" if s is None else " ".join(s.timbres)
    if q.type == "match":
        return f"Seen {shown}, heard {played}."
    return f"Asked {q.about}, seen {shown}." if q.type == "visible" else f"Asked {q.about}, heard {played}."


def _fuse(question_type: str, p: Picture, s: Sound, answer: str) -> str:
    """What was seen and heard slot by slot, side by side, and the pair in question."""
    pairs = list(zip(s.timbres, p.colors, strict=True))
    if question_type == "sound_when":
        pairs = [(color, timbre) for timbre, color in pairs]
    listed = ", ".join(f"{o} {x} {y}" for o, (x, y) in zip(ORDINALS, pairs, strict=True))
    given = next(x for x, y in pairs if y == answer)
    return f"Together {listed}. The {given} {answer}. So {answer}."


def describe_picture(p: Picture | None) -> str:
    """The picture in words; a sequence is described slot by slot."""
    if p is None:
        return "There is no picture."
    if p.kind == "group":
        plural = "es" if p.shape == "cross" else "s"
        noun = p.shape if p.count == 1 else p.shape + plural
        return f"I see {p.count} {p.colors[0]} {noun} moving {p.motion}."
    listed = ", ".join(f"{o} {c}" for o, c in zip(ORDINALS, p.colors, strict=True))
    return f"I see a {p.shape} moving {p.motion}, {listed}."


def describe_sound(s: Sound | None) -> str:
    """The sound in words; a sequence is described slot by slot."""
    if s is None:
        return "There is no sound."
    if s.kind == "group":
        noun = "sound" if s.count == 1 else "sounds"
        rhythm = f", {s.rhythm}" if s.rhythm else ""
        return f"I hear {s.count} {s.timbres[0]} {noun}{rhythm}."
    listed = ", ".join(f"{o} {t}" for o, t in zip(ORDINALS, s.timbres, strict=True))
    return f"I hear {listed}."
