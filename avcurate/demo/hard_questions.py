"""What is asked in the hard world: the questions of the easy one in more wordings, yes/no questions and order.

The yes/no questions are worded as AVHBench's (its three tasks of answering). In the hard world what is seen is
often what is heard, so that a model may guess one from the other: what AVHBench calls a cross-modal hallucination.
"""

from __future__ import annotations

import random
from dataclasses import replace

from avcurate.demo.questions import N_CHOICES, TYPES, QuestionType
from avcurate.demo.world import FORMS, THINGS, Picture, Sound

Asked = tuple[dict[str, str], tuple[str, ...], str]

YES_NO = ("Yes", "No")
MORE_WORDINGS = {
    "color": ("What is the colour of what moves?", "Tell the colour of the thing on the screen."),
    "shape": ("What is on the screen?", "What thing do you see?"),
    "motion": ("What is the direction of movement?", "Which way is it going?"),
    "object_count": ("How many things are on the screen?", "How many do you see?"),
    "timbre": ("What do you hear?", "Which thing makes the sound?"),
    "sound_count": ("How often does it sound?", "How many times do you hear it?"),
    "rhythm": ("How do the sounds follow each other?", "Is the rhythm steady, or how does it change?"),
    "color_when": ("When you hear the {timbre}, which colour is on the screen?",),
    "sound_when": ("When the screen shows {color}, which sound is heard?",),
    "number": ("How many are there, seen and heard alike?",),
    "word": ("Which word names a {category}?",),
    "owner": ("Who filmed this?",),
}


def _form(p: Picture, s: Sound, rng: random.Random) -> Asked:
    others = rng.sample([f for f in FORMS if f != p.shape], N_CHOICES - 1)
    return {}, (p.shape, *others), p.shape


def _visible(p: Picture, s: Sound, rng: random.Random) -> Asked:
    return _exists(p.shape, s.timbres, rng)


def _audible(p: Picture, s: Sound, rng: random.Random) -> Asked:
    return _exists(s.timbres[0], (p.shape,), rng)


def _exists(there: str, elsewhere: tuple[str, ...], rng: random.Random) -> Asked:
    """Half the questions name what is there; of the others half what the other modality holds, if it is a thing."""
    if rng.random() < 0.5:
        return {"thing": there}, YES_NO, "Yes"
    near = [t for t in elsewhere if t in THINGS and t != there]
    absent = near if near and rng.random() < 0.5 else [t for t in THINGS if t != there]
    return {"thing": rng.choice(absent)}, YES_NO, "No"


def _match(p: Picture, s: Sound, rng: random.Random) -> Asked:
    return {}, YES_NO, "Yes" if p.shape in s.timbres else "No"


def _order(p: Picture, s: Sound, rng: random.Random) -> Asked:
    i, k = rng.sample(range(len(s.timbres)), 2)
    return {"x": s.timbres[i], "y": s.timbres[k]}, (s.timbres[i], s.timbres[k]), s.timbres[min(i, k)]


def _order_both(p: Picture, s: Sound, rng: random.Random) -> Asked:
    i, k = rng.sample(range(len(s.timbres)), 2)
    sound, color = s.timbres[i], p.colors[k]
    return {"timbre": sound, "color": color}, (sound, color), sound if i < k else color


def _seen_thing(p: Picture, s: Sound) -> bool:
    return p.shape in THINGS


def _heard_thing(p: Picture, s: Sound) -> bool:
    return s.kind == "group" and s.timbres[0] in THINGS


HARD_TYPES: tuple[QuestionType, ...] = (
    *(
        replace(t, wordings=(*t.wordings, *MORE_WORDINGS[t.name]), ask=_form if t.name == "shape" else t.ask)
        for t in TYPES
    ),
    QuestionType(
        "visible",
        "visual",
        ("Is the {thing} visible in the video?", "Can you see the {thing}?", "Does the video show the {thing}?"),
        _seen_thing,
        _visible,
    ),
    QuestionType(
        "audible",
        "audio",
        ("Is the {thing} making sound in the audio?", "Can you hear the {thing}?", "Does the {thing} sound?"),
        _heard_thing,
        _audible,
    ),
    QuestionType(
        "match",
        "both",
        (
            "Are the contexts of audio and visual content matching?",
            "Do sound and picture match?",
            "Is what you see what you hear?",
        ),
        lambda p, s: p.kind == "group" and p.shape in THINGS and s.kind == "group",
        _match,
    ),
    QuestionType(
        "order",
        "audio",
        ("Which sound comes first, the {x} or the {y}?", "What do you hear first, the {x} or the {y}?"),
        lambda p, s: s.kind == "sequence",
        _order,
    ),
    QuestionType(
        "order_both",
        "both",
        (
            "What comes first, the {timbre} or the colour {color}?",
            "Does the {timbre} or the colour {color} come first?",
        ),
        lambda p, s: p.kind == "sequence" and s.kind == "sequence",
        _order_both,
    ),
)
HARD_BY_NAME = {t.name: t for t in HARD_TYPES}
