"""Rewards as plain functions of a response's text (SFFL §3.4, Eq. 7-10; MAPO Appendix B).

Needs neither torch nor a trainer: the included training command and the ms-swift plugin call the same functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from avcurate.metrics.answers import answers_given, fold, parse_answer, untagged_answer, without_reasoning
from avcurate.metrics.pem import said_pem
from avcurate.metrics.tags import sequence
from avcurate.prompts import ANSWER_TAGS
from avcurate.schema import PEM

Form = Literal["conjunction", "halves"]

_PARTS = ("mod", "v", "a", "sum", "ans")
_STRUCTURE_TAGS = frozenset((*_PARTS, "answer"))
_FORMAT_TAGS = frozenset(("think", "reasoning", "answer"))


LEAST = 4
"""Letters and digits that a part of a reasoning must have: less describes nothing."""
_LETTER = re.compile(r"\w")
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


STAGE_1 = {"preference": 1.0}
STAGE_2 = {"accuracy": 1.0, "preference": 0.2}
"""Weights of SFFL's total reward in its two stages (Eq. 9 and 10)."""


def structure(text: str) -> float:
    """1 where a response is ``<mod> <v> <a> <sum> <ans>``, each once, in order, filled, with nothing between or around.

    The modality named is one of the three; ``<answer>`` stands for ``<ans>`` as in the paper's published outputs. A
    description or a summary of fewer than ``LEAST`` letters counts as empty.
    """
    blocks = sequence(text, _STRUCTURE_TAGS)
    if blocks is None or tuple("ans" if tag == "answer" else tag for tag, _ in blocks) != _PARTS:
        return 0.0
    named, *traces, answer = (inside for _, inside in blocks)
    pem = said_pem(text)
    return float(pem is not None and pem in _exact(named) and all(map(_says, traces)) and bool(answer.strip()))


def _says(part: str) -> bool:
    return len(_LETTER.findall(part)) >= LEAST


def _exact(named: str) -> tuple[PEM, ...]:
    """The PEM that is named in the paper's own words; "View" and "both" are not labels of the format."""
    return tuple(p for p in PEM if named.strip().casefold() == str(p).casefold())


def pem_match(text: str, pem: str) -> float:
    """1 where the response names the question's PEM inside ``<mod>``."""
    named = said_pem(text)
    return float(named is not None and str(named) == pem)


def preference_and_structure(text: str, pem: str, form: Form = "conjunction") -> float:
    """R_mps (SFFL Eq. 7), in [0, 1].

    The formula itself is not public. ``conjunction`` is its simplest reading, 1 where the response follows the
    structure *and* names the PEM; ``halves`` gives 0.5 for each.
    """
    if form == "halves":
        return 0.5 * structure(text) + 0.5 * pem_match(text, pem)
    return structure(text) * pem_match(text, pem)


def answer_accuracy(text: str, answer: str, choices: Sequence[str] = ()) -> float:
    """R_acc (SFFL Eq. 8): 1 where the answer inside the answer tag is the right one, exactly and not by prefix.

    One answer, in one place. Stricter than evaluation, which reads the first of several and a response without any tag:
    answers that differ earn nothing. Without a tag, the one short line after closed reasoning is the answer, as
    thinking models write it.
    """
    given = answers_given(without_reasoning(text), ANSWER_TAGS)
    if not given and (line := untagged_answer(text)) is not None:
        given, text = [line], f"<answer>{line}</answer>"
    if len({fold(parse_answer(f"<answer>{one}</answer>", choices) or "") for one in given}) != 1:
        return 0.0
    parsed = parse_answer(text, choices)
    return float(parsed is not None and fold(parsed) == fold(answer))


def think_format(text: str) -> float:
    """1 where a response is a filled ``<think>`` or ``<reasoning>`` and a filled ``<answer>``, each once (MAPO).

    As in the paper's release a ``<think>`` may be followed by an answer of one short line without the tag.
    """
    line = untagged_answer(text)
    if line is not None:
        text = text[: text.rindex(line)] + f"<answer>{line}</answer>"
    blocks = sequence(text, _FORMAT_TAGS)
    if blocks is None or [tag for tag, _ in blocks] not in (["think", "answer"], ["reasoning", "answer"]):
        return 0.0
    return float(_says(blocks[0][1]) and bool(blocks[1][1].strip()))


def repetition(text: str, size: int = 4) -> float:
    """Minus the share of a response's runs of ``size`` words that occurred in it before: in [-1, 0]."""
    words = [w.casefold() for w in _WORD.findall(text)]
    runs = Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1))
    total = sum(runs.values())
    return -(total - len(runs)) / total if total else 0.0


def overlong(text: str, words: int, slack: int) -> float:
    """0 up to ``words`` words, -1 from ``slack`` more on, in between in proportion.

    After DAPO (arXiv 2503.14476, Eq. 13), which counts tokens.
    """
    over = len(_WORD.findall(text)) - words
    return -min(1.0, max(0.0, over / max(1, slack)))


def both_beat_either(text: str, answer: str, choices: Sequence[str], alone: float) -> float:
    """The right answer earns what the better modality alone lacks of always solving the question.

    After OmniVideo-R1 (arXiv 2602.05847), which rewards what both modalities answer and neither alone does; there the
    comparison is sampled again; here it is label-pem's.

    Args:
        alone: the greater of the two correctness rates under audio only and video only, in [0, 1].
    """
    return answer_accuracy(text, answer, choices) * (1.0 - alone)
