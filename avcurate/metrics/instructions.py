"""Rules on the form of an answer: MMAU-Pro's instruction-following questions.

The twenty-seven rules and their parameters are those of the benchmark's evaluation script (arXiv 2508.13992). One
differs: sentences are counted by their closing punctuation, where the script asks NLTK's tokenizer, whose data would
have to be downloaded; the two part where an abbreviation ends in a full stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Rule = Callable[[str, Mapping[str, Any]], bool]
_NOT_LETTERS = re.compile(r"[^a-zA-Z]")
_NOT_WORDS = re.compile(r"[^a-zA-Z ]")


def words(text: str) -> int:
    """How many words a text has."""
    return len(text.split())


def sentences(text: str) -> int:
    """How many sentences a text has: stretches closed by ``.``, ``!`` or ``?`` before a blank or the end."""
    return len([s for s in re.split(r"(?<=[.!?])[\"')\]]*\s+", text.strip()) if re.search(r"\w", s)])


def capital_words(text: str) -> int:
    """How many words are written in capitals."""
    return sum(w.isupper() for w in text.split())


def placeholders(text: str) -> int:
    """How many ``[...]`` a text has. By search, not by a pattern, which a text of brackets would make quadratic."""
    count, at = 0, 0
    while (begin := text.find("[", at)) >= 0 and (end := text.find("]", begin)) >= 0:
        count, at = (count + 1, end + 1) if end > begin + 1 else (count, end + 1)
    return count


def bullets(text: str) -> int:
    """How many lines begin with ``*`` and a blank."""
    return sum(re.match(r"\*\s", line.lstrip() + "\n") is not None for line in text.split("\n"))


def has_title(text: str) -> bool:
    """Whether a text has ``<<...>>``."""
    at = 0
    while (begin := text.find("<<", at)) >= 0 and (end := text.find(">", begin + 2)) >= 0:
        if end > begin + 2 and text[end + 1 : end + 2] == ">":
            return True
        at = end + 1
    return False


def _number(given: Mapping[str, Any], key: str = "N", default: int = 0) -> int:
    value = given.get(key)
    return default if value is None else int(float(value))


def _listed(given: Mapping[str, Any], key: str) -> list[str]:
    value = given.get(key)
    items = value if isinstance(value, list) else str(value or "").split(", ")
    return [str(w).lower() for w in items if str(w)]


def _at_least(count: Callable[[str], int]) -> Rule:
    return lambda text, given: count(text) >= _number(given)


def _at_most(count: Callable[[str], int]) -> Rule:
    return lambda text, given: count(text) <= _number(given)


def _between(count: Callable[[str], int]) -> Rule:
    return lambda text, given: _number(given, "N1") <= count(text) <= _number(given, "N2", 999)


def _exactly(count: Callable[[str], int]) -> Rule:
    return lambda text, given: count(text) == _number(given)


def _keyword_frequency(text: str, given: Mapping[str, Any]) -> bool:
    keyword = re.escape(str(given.get("keyword") or "").lower())
    return len(re.findall(rf"\b{keyword}\b", text.lower())) == _number(given)


def _sections(text: str, given: Mapping[str, Any]) -> bool:
    splitter = str(given.get("section_splitter") or "")
    parts = text.split(splitter) if splitter else [text]
    return sum(bool(p.strip()) for p in parts) == _number(given)


def _two_responses(text: str, given: Mapping[str, Any]) -> bool:
    parts = [p.lower().strip() for p in text.split("******")]
    return len(parts) == 2 and parts[0] != parts[1]


def _repeats(text: str, given: Mapping[str, Any]) -> bool:
    return text.strip().lower().startswith(str(given.get("prompt") or "").strip().lower())


def _postscript(text: str, given: Mapping[str, Any]) -> bool:
    marker = _NOT_LETTERS.sub("", str(given.get("postscript_marker") or "")).lower()
    return marker in _NOT_LETTERS.sub("", text).lower()


def _quoted(text: str, given: Mapping[str, Any]) -> bool:
    return text.strip().startswith('"') and text.strip().endswith('"')


def _phrase(given: Mapping[str, Any], key: str) -> str:
    return _NOT_WORDS.sub("", str(given.get(key) or "")).lower()


RULES: dict[str, Rule] = {
    "Include Keywords": lambda t, g: all(w in t.lower() for w in _listed(g, "keywords")),
    "Keyword Frequency": _keyword_frequency,
    "Forbidden Words": lambda t, g: not any(w in t.lower() for w in _listed(g, "forbidden_words")),
    "Number Paragraphs": _exactly(lambda t: sum(bool(p.strip()) for p in t.split("***"))),
    "Number Words (at least)": _at_least(words),
    "Number Words (at most)": _at_most(words),
    "Number Words (range)": _between(words),
    "Number Sentences (at least)": _at_least(sentences),
    "Number Sentences (at most)": _at_most(sentences),
    "Number Sentences (range)": _between(sentences),
    "Postscript": _postscript,
    "Number Placeholder": _at_least(placeholders),
    "Number Bullets": _exactly(bullets),
    "Title": lambda t, g: has_title(t),
    "Minimum Number Highlighted Section": _at_least(lambda t: len(re.findall(r"\*[^*]+\*", t))),
    "Multiple Sections": _sections,
    "Repeat Prompt": _repeats,
    "Two Responses": _two_responses,
    "All Uppercase": lambda t, g: t.isupper(),
    "All Lowercase": lambda t, g: t.islower(),
    "All-capital Words (at least)": _at_least(capital_words),
    "All-capital Words (at most)": _at_most(capital_words),
    "All-capital Words (range)": _between(capital_words),
    "Start Checker": lambda t, g: _NOT_WORDS.sub("", t).lower().startswith(_phrase(g, "start_phrase")),
    "End Checker": lambda t, g: _NOT_WORDS.sub("", t).lower().endswith(_phrase(g, "end_phrase")),
    "Quotation": _quoted,
    "No Commas": lambda t, g: "," not in t,
}


def follows(text: str, instruction: Mapping[str, Any]) -> bool:
    """Whether an answer has the form that was asked for.

    Args:
        instruction: ``{"instruction": name of the rule, ...}`` with the rule's parameters.

    Raises:
        KeyError: there is no such rule.
    """
    return RULES[instruction["instruction"]](text, instruction)
