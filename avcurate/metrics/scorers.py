"""How benchmarks themselves tell right from wrong, beside our own rule: each from its authors' scorer.

A rule reads a response and the question's choices and answer. Where it can be satisfied by what our rule refuses, or
refuses what ours takes, its docstring says so: figures by different rules must not stand in one column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avcurate.metrics.answers import fold, parse_answer, tagged, untagged_answer, without_reasoning
from avcurate.prompts import ANSWER_TAGS

Right = Callable[[str, Sequence[str], str], bool]
_WORD = re.compile(r"\b\w+\b")


@dataclass(frozen=True)
class Scorer:
    """One benchmark's rule.

    Attributes:
        source: where it is written down.
        right: (response, choices, answer) to whether it counts as right.
    """

    name: str
    about: str
    source: str
    right: Right


def answer_text(text: str) -> str:
    """What a response gives as its answer, as it is written: the tag's content, else all that follows the reasoning."""
    rest = without_reasoning(text)
    return tagged(rest, ANSWER_TAGS) or untagged_answer(text) or rest.strip()


def token_set(text: str, choices: Sequence[str], answer: str) -> bool:
    """MMAU's rule: the prediction holds every word of the answer, and none that only wrong choices have.

    Words in any order and place count, so that a choice with the same words in another order is right too (12 wrong
    choices of MMAU test-mini, 28 of MMAR); a letter alone is no answer.
    """
    said, wanted = _words(answer_text(text)), _words(answer)
    wrong = set().union(*(w for c in choices if (w := _words(c)) != wanted)) - wanted
    return bool(said) and wanted <= said and not said & wrong


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


MUSIC_ANSWERS = frozenset(
    [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "10",
        "accordion",
        "acoustic_guitar",
        "bagpipe",
        "banjo",
        "bassoon",
        "cello",
        "clarinet",
        "congas",
        "drum",
        "electric_bass",
        "erhu",
        "flute",
        "guzheng",
        "indoor",
        "left",
        "middle",
        "no",
        "outdoor",
        "piano",
        "pipa",
        "right",
        "saxophone",
        "simultaneously",
        "suona",
        "trumpet",
        "tuba",
        "ukulele",
        "violin",
        "xylophone",
        "yes",
        "more_than_ten",
    ]
)
"""The closed set that MUSIC-AVQA's answers come from, number words as digits."""
_MUSIC_SYNONYMS = {
    "more than ten": "more_than_ten",
    "acoustic guitar": "acoustic_guitar",
    "electric bass": "electric_bass",
    "bass guitar": "electric_bass",
    "at the same time": "simultaneously",
    "the same time": "simultaneously",
    "together": "simultaneously",
    "indoors": "indoor",
    "inside": "indoor",
    "outdoors": "outdoor",
    "outside": "outdoor",
    "center": "middle",
    "centre": "middle",
    "drums": "drum",
    "conga": "congas",
    "sax": "saxophone",
    "bagpipes": "bagpipe",
}
_MUSIC_WORD = re.compile(r"[a-z_]+|\d+")


def music_avqa(text: str, choices: Sequence[str], answer: str) -> bool:
    """An open answer mapped to MUSIC-AVQA's closed set: right where the answer is the only member that it names.

    The benchmark's own models choose from that set; a sentence that names one member of it counts as choosing it.
    """
    return _music(answer_text(text)) == _music(answer) != set()


def _music(text: str) -> set[str]:
    written = " ".join(text.casefold().replace("_", " ").split())
    for phrase, member in sorted(_MUSIC_SYNONYMS.items(), key=lambda kv: -len(kv[0])):
        written = re.sub(rf"\b{phrase}\b", member, written)
    return {w for word in _MUSIC_WORD.findall(written) if (w := fold(word)) in MUSIC_ANSWERS}


def label_inside(text: str, choices: Sequence[str], answer: str) -> bool:
    """AVHBench as AVCD scores it: the label is part of the lower-cased prediction, whatever else that says.

    "No" is part of "not", "know" and "nothing", so the rule favours No; ours reads words.
    """
    return answer.lower() in answer_text(text).lower()


def stated_choice(text: str, choices: Sequence[str], answer: str) -> bool:
    """The choice or its letter, as AVQA, Valor32k-AVQA, Daily-Omni and the omni benchmarks count: our own rule."""
    said = parse_answer(text, choices)
    return said is not None and fold(said) == fold(answer)


_ABOUT_WORDS = "all words of the answer, none that only wrong choices have"
SCORERS: dict[str, Scorer] = {
    s.name: s
    for s in (
        Scorer("mmau", _ABOUT_WORDS, "github.com/Sakshi113/MMAU, evaluation.py", token_set),
        Scorer("mmar", _ABOUT_WORDS, "github.com/ddlBoJack/MMAR, the rule of MMAU", token_set),
        Scorer("mmsu", _ABOUT_WORDS, "as MAPO's release scores MMSU", token_set),
        Scorer("music-avqa", "the one member of the closed set that is named", "MUSIC-AVQA's answer set", music_avqa),
        Scorer("avhbench", "the label occurs in the response", "github.com/kaistmm/AVCD", label_inside),
        Scorer("choice", "the choice or its letter", "our own rule", stated_choice),
    )
}
