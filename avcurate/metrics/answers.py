"""The answer in a raw response: tags first, then a stated letter or choice, never a substring guess.

An answer that cannot be read counts as wrong and is reported as its own rate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from avcurate.metrics.tags import blocks, find_tags
from avcurate.prompts import ANSWER_TAGS, FUSE_TAGS, LETTERS, REASONING_TAGS

_DIGITS = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = {word: str(i) for i, word in enumerate(_DIGITS.split())}
# "no" before a noun is not an answer
_YES_OR_NO = re.compile(
    r"\byes\b|\bno\b(?=\s*(?:$|[^\w\s]|(?:it|its|the|there|this|that|these|they|he|she|i|we|you|a|an|in)\b))"
)
_ANY_TAG = re.compile(r"</?[a-z]{1,24}>", re.IGNORECASE)
LONGEST_LINE, MOST_WORDS = 180, 24
"""An answer without a tag or a label is at most so long."""
_EDGES = "`*_\"'“”‘’ "
_ARTICLE = re.compile(r"^(?:an?|the)\s+(?=\S)")
_LEAD = re.compile(
    r"^(?:so|thus|therefore|hence)?[,\s]*(?:the\s+)?(?:final\s+|correct\s+|best\s+|right\s+)*"
    r"(?:answer|choice|option)(?:\s+is)?\s*[:\-]?\s*(?:is\s+)?",
    re.IGNORECASE,
)
_LETTER_ALONE = re.compile(r"^(?:option\s+)?[\(\[]?([A-Za-z])[\)\]]?[\s.:,;]*$", re.IGNORECASE)
_LETTER_THEN_TEXT = re.compile(r"^[\(\[]?([A-Za-z])(?:[\)\]][.:]?\s*|[.:]\s+|\s*[-–]\s+)(.+)$", re.DOTALL)
_BRACKETED = re.compile(r"\([A-Z]\)")
# a letter that goes on to another one: "or maybe A", "perhaps C"; "A" may be an article unless it ends the sentence
_HEDGE = re.compile(
    r"\b(?:or|maybe|perhaps|possibly|alternatively)\s+(?:maybe\s+|perhaps\s+|option\s+)?(?:[B-HJ-Z]\b|A(?=\W*$))"
)
_LETTER_IN_LAST_SENTENCE = re.compile(
    r"\b(?:answer|choice|option)\s+(?:is|would\s+be|should\s+be)?\s*:?\s*[\(\[*]*([A-Z])[\)\]*]*(?=$|[\s.,;:)])"
)


def clean(text: str) -> str:
    """Collapse white space, drop surrounding quotes, emphasis and closing punctuation."""
    text = " ".join(text.split()).strip(_EDGES)
    return text.rstrip(".,;:!? ").strip()


@lru_cache(maxsize=1 << 15)
def fold(text: str) -> str:
    """Form in which answers are compared: clean, casefolded, no leading article, number words as digits."""
    folded = clean(text).casefold()
    folded = _ARTICLE.sub("", folded)
    return _NUMBER_WORDS.get(folded, folded)


def tagged(text: str, tags: Sequence[str]) -> str | None:
    """Content of the first non-empty ``<tag>…</tag>`` for the first of the tags that has one."""
    for tag in tags:
        for start, stop, _ in blocks(text, tag):
            if inside := text[start:stop].strip():
                return inside
    return None


def answers_given(text: str, tags: Sequence[str]) -> list[str]:
    """Content of every non-empty block of any of the tags."""
    inside = (text[start:stop].strip() for tag in tags for start, stop, _ in blocks(text, tag))
    return [one for one in inside if one]


def without_reasoning(text: str) -> str:
    """The response after its reasoning block; an unclosed block leaves nothing.

    Removes whole blocks; all before a closing tag whose opening tag the chat template put into the prompt; and all
    after an opening tag that is never closed.
    """
    for tag in REASONING_TAGS:
        kept, at = [], 0
        for start, _, end in blocks(text, tag):
            kept.append(text[at : start - len(tag) - 2])
            at = end
        text = " ".join([*kept, text[at:]])
        closing = [m.end() for m in find_tags(text) if m[1] and m[2].lower() == tag]
        text = " " + text[closing[-1] :] if closing else text
        opening = next((m.start() for m in find_tags(text) if not m[1] and m[2].lower() == tag), None)
        text = text if opening is None else text[:opening] + " "
    return text


def untagged_answer(text: str) -> str | None:
    """The answer of a response that reasons inside a closed tag and then answers without one, as thinking models do.

    One line of at most 180 characters and 24 words without angle brackets; ``None`` for any other response.
    """
    rest = without_reasoning(text).strip()
    reasoned = any(m[1] and m[2].lower() in REASONING_TAGS for m in find_tags(text))
    if not rest or not reasoned or "\n" in rest or "<" in rest or ">" in rest:
        return None
    return (
        rest if len(rest) <= LONGEST_LINE and len(rest.split()) <= MOST_WORDS and text.rstrip().endswith(rest) else None
    )


def parse_answer(text: str, choices: Sequence[str]) -> str | None:
    """The answer a response gives, or ``None`` where it cannot be read.

    With choices the result is one of them, verbatim; without, the cleaned answer text. Tried in
    order: the answer tag; a last line labelled as the answer; a whole response that is a letter or
    a choice; for choices, a last sentence of the form "the answer is (B)".
    """
    rest = without_reasoning(text)
    inside = tagged(rest, ANSWER_TAGS)
    if inside is not None:
        return _as_choice(inside, choices) if choices else clean(inside) or None
    rest = _ANY_TAG.sub(" ", rest).strip()
    if not rest:
        return None
    lines = [line.strip() for line in rest.splitlines() if line.strip()]
    if not choices:
        return _open_answer(lines)
    for candidate in (rest, lines[-1]):
        choice = _as_choice(candidate, choices)
        if choice is not None:
            return choice
    # runs of white space are collapsed: the pattern could split them in many ways
    stated = {m.group(1) for m in _LETTER_IN_LAST_SENTENCE.finditer(" ".join(lines[-1].split()))}
    if len(stated) == 1:
        return _letter(stated.pop(), choices)
    return None


def yes_or_no(text: str) -> str | None:
    """``yes`` or ``no`` where a response gives one of them as an answer; of both, the one it begins with.

    The answer tag is read if there is one. "Not", "know" and "nothing" do not count as "no", nor does "no idea".
    """
    rest = without_reasoning(text)
    rest = (tagged(rest, ANSWER_TAGS) or _ANY_TAG.sub(" ", rest)).casefold().lstrip(" \n\"'*(")
    hits = [(m.start(), m.group(0)) for m in _YES_OR_NO.finditer(rest)]
    if hits and (len({word for _, word in hits}) == 1 or hits[0][0] == 0):
        return str(hits[0][1])
    return None


def _open_answer(lines: list[str]) -> str | None:
    last = " ".join(lines[-1].split())
    lead = _LEAD.match(last)
    if lead and lead.end() > 0 and re.search("answer|choice|option", lead.group(0), re.IGNORECASE):
        return clean(last[lead.end() :]) or None
    short = len(lines) == 1 and len(last) <= LONGEST_LINE and len(last.split()) <= MOST_WORDS
    return clean(last) or None if short else None


def _as_choice(text: str, choices: Sequence[str]) -> str | None:
    stripped = clean(text)
    by_fold = {fold(c): c for c in choices}
    if fold(stripped) in by_fold:
        return by_fold[fold(stripped)]
    stripped = clean(_LEAD.sub("", stripped, count=1)) or stripped
    if fold(stripped) in by_fold:
        return by_fold[fold(stripped)]
    alone = _LETTER_ALONE.match(stripped)
    if alone:
        return _letter(alone.group(1), choices)
    both = _LETTER_THEN_TEXT.match(stripped)
    if both:
        by_letter = _letter(both.group(1), choices)
        by_text = by_fold.get(fold(both.group(2)))
        # a letter followed by other words than its own choice's is still a stated letter, unless
        # those words are another choice or state another letter
        other = _BRACKETED.search(both.group(2)) or _HEDGE.search(both.group(2))
        if by_letter is not None and (by_text == by_letter or (by_text is None and not other)):
            return by_letter
    return None


def _letter(letter: str, choices: Sequence[str]) -> str | None:
    index = LETTERS.find(letter.upper())
    return choices[index] if 0 <= index < len(choices) else None


def is_correct(parsed: str | None, answer: str) -> bool:
    """Whether a parsed answer is the right one."""
    return parsed is not None and fold(parsed) == fold(answer)


def reasoning_text(text: str) -> str:
    """The reasoning of a response, for consistency: think block, fuse blocks, or what precedes the answer."""
    inside = tagged(text, REASONING_TAGS)
    if inside is not None:
        return inside
    closed = next((m for m in find_tags(text) if m[1] and m[2].lower() in REASONING_TAGS), None)
    if closed:
        return _ANY_TAG.sub(" ", text[: closed.start()]).strip()
    fused = [part for tag in FUSE_TAGS if (part := tagged(text, (tag,))) is not None]
    if fused:
        return " ".join(fused)
    before = re.split(r"<(?:answer|ans)>", text, maxsplit=1, flags=re.IGNORECASE)[0]
    return _ANY_TAG.sub(" ", before).strip()
