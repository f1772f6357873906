"""What is asked in the hard world: the questions of the easy one in more wordings, yes/no questions and order.

Yes/no questions, order and the choice of what is there are worded as ``avcurate benchmark hallucination`` words them,
which for yes/no questions is AVHBench's way among others. In the hard world what is seen is
often what is heard, so that a model may guess one from the other: what AVHBench calls a cross-modal hallucination.
"""

from __future__ import annotations

import random
from dataclasses import replace

from avcurate.demo.questions import N_CHOICES, TYPES, QuestionType
from avcurate.demo.world import FORMS, THINGS, TIMBRES, Picture, Sound
from avcurate.tasks.benchmark.phrases import OTHERS
from avcurate.tasks.benchmark.phrases import THINGS as WORDINGS

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
    return _exists((p.shape,), s.timbres, FORMS, rng)


def _audible(p: Picture, s: Sound, rng: random.Random) -> Asked:
    return _exists(s.timbres, (p.shape,), TIMBRES, rng)


def _exists(there: tuple[str, ...], elsewhere: tuple[str, ...], names: tuple[str, ...], rng: random.Random) -> Asked:
    """Half the questions name what is there; of the others half what the other modality holds, if that can be."""
    if rng.random() < 0.5:
        return {"x": rng.choice(there)}, YES_NO, "Yes"
    near = [t for t in elsewhere if t in names and t not in there]
    absent = near if near and rng.random() < 0.5 else [t for t in names if t not in there]
    return {"x": rng.choice(absent)}, YES_NO, "No"


def _which(there: tuple[str, ...], elsewhere: tuple[str, ...], names: tuple[str, ...], rng: random.Random) -> Asked:
    """One thing that is there among three that are not, one of which the other modality holds, if that can be."""
    right = rng.choice(there)
    near = [t for t in elsewhere if t in names and t not in there][:1]
    others = [t for t in names if t not in there and t not in near]
    return {}, (right, *near, *rng.sample(others, N_CHOICES - 1 - len(near))), right


def _which_heard(p: Picture, s: Sound, rng: random.Random) -> Asked:
    return _which(s.timbres, (p.shape,), TIMBRES, rng)


def _which_seen(p: Picture, s: Sound, rng: random.Random) -> Asked:
    return _which((p.shape,), s.timbres, FORMS, rng)


def _match(p: Picture, s: Sound, rng: random.Random) -> Asked:
    return {}, YES_NO, "Yes" if p.shape in s.timbres else "No"


def _order(p: Picture, s: Sound, rng: random.Random) -> Asked:
    i, k = rng.sample(range(len(s.timbres)), 2)
    return {"x": s.timbres[i], "y": s.timbres[k]}, (s.timbres[i], s.timbres[k]), s.timbres[min(i, k)]


def _order_both(p: Picture, s: Sound, rng: random.Random) -> Asked:
    i, k = rng.sample(range(len(s.timbres)), 2)
    sound, color = s.timbres[i], p.colors[k]
    return {"timbre": sound, "color": color}, (sound, color), sound if i < k else color


def _any(p: Picture, s: Sound) -> bool:
    return True


HARD_TYPES: tuple[QuestionType, ...] = (
    *(
        replace(t, wordings=(*t.wordings, *MORE_WORDINGS[t.name]), ask=_form if t.name == "shape" else t.ask)
        for t in TYPES
    ),
    QuestionType(
        "visible",
        "visual",
        (*WORDINGS["visible"], "Can you see the {x}?"),
        _any,
        _visible,
    ),
    QuestionType(
        "audible",
        "audio",
        (*WORDINGS["audible"], "Can you hear the {x}?"),
        _any,
        _audible,
    ),
    QuestionType(
        "match",
        "both",
        (*OTHERS["match"], "Do sound and picture match?"),
        lambda p, s: p.kind == "group" and p.shape in THINGS and s.kind == "group",
        _match,
    ),
    QuestionType(
        "order",
        "audio",
        (*WORDINGS["order"], "Which sound comes first, the {x} or the {y}?"),
        lambda p, s: s.kind == "sequence",
        _order,
    ),
    QuestionType("which_heard", "audio", OTHERS["which_heard"], lambda p, s: s.kind == "group", _which_heard),
    QuestionType("which_seen", "visual", OTHERS["which_seen"], _any, _which_seen),
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
