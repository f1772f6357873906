"""How questions are worded. The first wording of a yes/no task about things is AVHBench's own."""

from __future__ import annotations

import random
import re

from avcurate.schema import PEM

YES_NO = ("Yes", "No")
THINGS: dict[str, tuple[str, ...]] = {
    "visible": (
        "Is the {x} visible in the video?",
        "Can you see the {x} in the video?",
        "Does the video show the {x}?",
    ),
    "audible": (
        "Is the {x} making sound in the audio?",
        "Can you hear the {x} in the audio?",
        "Does the {x} sound in the audio?",
    ),
    "order": ("Which comes first in the audio, the {x} or the {y}?", "Which do you hear first, the {x} or the {y}?"),
}
# names of what happens rather than of things: "dog barking"
EVENTS: dict[str, tuple[str, ...]] = {
    "visible": ("Is {x} visible in the video?", "Can you see {x} in the video?", "Does the video show {x}?"),
    "audible": ("Is {x} heard in the audio?", "Can you hear {x} in the audio?", "Does the audio contain {x}?"),
    "order": ("Which comes first in the audio, {x} or {y}?", "Which do you hear first, {x} or {y}?"),
}
OTHERS: dict[str, tuple[str, ...]] = {
    "match": (
        "Are the contexts of audio and visual content matching?",
        "Do the sound and the picture belong together?",
        "Does what you hear fit what you see?",
    ),
    "which_heard": ("Which of these do you hear in the audio?", "Which of these makes a sound in the clip?"),
    "which_seen": ("Which of these do you see in the video?", "Which of these is shown in the clip?"),
    "gap": ("Does the sound stop for a while and come back?", "Is there a gap in the sound?"),
    "freeze": ("Does the picture freeze for a while?", "Does the picture stand still for a while?"),
    "black": ("Does the picture go black for a while?", "Is the picture black for part of the video?"),
    "blur": ("Does the picture become blurred for a while?", "Is the picture out of focus for part of the video?"),
    "in_step": (
        "Do sound and picture happen at the same time?",
        "Are the sound and the picture in step with each other?",
    ),
}
DECIDED_BY: dict[str, PEM] = {
    "visible": PEM.VISUAL,
    "audible": PEM.AUDIO,
    "match": PEM.AUDIO_VISUAL,
    "which_heard": PEM.AUDIO,
    "which_seen": PEM.VISUAL,
    "order": PEM.AUDIO,
    "gap": PEM.AUDIO,
    "freeze": PEM.VISUAL,
    "black": PEM.VISUAL,
    "blur": PEM.VISUAL,
    "in_step": PEM.AUDIO_VISUAL,
}
# AVHBench's names of its tasks
AVHBENCH = {
    "visible": "Audio-driven Video Hallucination",
    "audible": "Video-driven Audio Hallucination",
    "match": "AV Matching",
    "describe": "AV Captioning",
}
DESCRIBE = "Describe what you see and hear in a single sentence."

_NOT_VERBS = frozenset(
    [
        "ring",
        "string",
        "wing",
        "king",
        "spring",
        "ping",
        "thing",
        "building",
        "evening",
        "morning",
        "ceiling",
        "lightning",
        "wedding",
        "earring",
        "railing",
    ]
)
_COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "the",
        "of",
        "on",
        "in",
        "with",
        "at",
        "to",
        "from",
        "by",
        "sound",
        "sounds",
        "noise",
        "playing",
        "people",
        "person",
        "man",
        "woman",
        "male",
        "female",
        "other",
    ]
)
_WORD = re.compile(r"\w+")


def is_event(name: str) -> bool:
    """Whether a name says what happens (``dog barking``) rather than what there is (``dog``)."""
    return any(w.endswith("ing") and w not in _NOT_VERBS for w in name.split())


def wording(task: str, several: bool, rng: random.Random, **names: str) -> str:
    """A question's text: the first wording, or one of several."""
    pool = OTHERS.get(task)
    if pool is None:
        pool = (EVENTS if any(is_event(n) for n in names.values()) else THINGS)[task]
    return (rng.choice(pool) if several else pool[0]).format(**names)


def content_words(name: str) -> frozenset[str]:
    """Words of a name that say what it is about, without a plural s."""
    words = (w.removesuffix("s") if len(w) > 3 else w for w in _WORD.findall(name.casefold()))
    return frozenset(w for w in words if w not in _COMMON)


def near(one: str, other: str) -> bool:
    """Whether two names may be two words for one thing: they share a word that says what it is about."""
    return one == other or bool(content_words(one) & content_words(other))


def named_in(name: str, aliases: tuple[str, ...], captions: list[str]) -> bool:
    """Whether a caption names a thing, by its name, another word for it, or a word of either."""
    said = {w.removesuffix("s") if len(w) > 3 else w for c in captions for w in _WORD.findall(c.casefold())}
    return any(words and words <= said for words in (content_words(n) for n in (name, *aliases)))
