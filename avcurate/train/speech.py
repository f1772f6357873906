"""Which completion tokens belong to words that say something: the part-of-speech gate (MAPO §3.5).

Words are found in the decoded text, tagged, and mapped back to every token that holds part of them. Structure tags
(``<v>``, ``</ans>``) are not words. The tagger works offline: TextBlob's pattern tagger ships its lexicon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avcurate.errors import UserError
from avcurate.maam.traces import offsets_of

Tagger = Callable[[str], list[tuple[str, str]]]

# Penn tags of nouns, verbs, adjectives, adverbs and numbers; anything else but punctuation and function words is X
_KEPT = ("NN", "VB", "JJ", "RB", "CD", "FW", "UH", "MD", "EX")
_TAG = re.compile(r"</?[a-z]+>", re.IGNORECASE)
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


@dataclass(frozen=True)
class Gate:
    """A gate over tokens; ``fallback``: the tagger failed, so every token counts."""

    tokens: list[int]
    fallback: bool = False


def pattern_tagger() -> Tagger:
    """TextBlob's pattern tagger: text to (word, Penn tag).

    Raises:
        UserError: it is not installed.
    """
    try:
        from textblob.en.taggers import PatternTagger
    except ImportError:
        raise UserError(
            "the part-of-speech gate needs textblob.",
            "Install it: pip install 'avcurate[train]', or set mapo.gate to none in the recipe.",
        ) from None
    tagger = PatternTagger()
    return lambda text: tagger.tag(text, tokenize=False)


def gate_of(ids: Sequence[int], decode: Callable[[Sequence[int]], str], tagger: Tagger) -> Gate:
    """1 for each token that holds part of a noun, verb, adjective, adverb, number or other content word.

    Args:
        ids: a completion's tokens.
        decode: token ids to text.
        tagger: text to (word, Penn tag).

    Returns:
        a 0 or 1 per id. If the tagger fails, or returns other words than it was given: all ones, with ``fallback``.
    """
    read = _words(ids, decode, tagger)
    if read is None:
        return Gate([1] * len(ids), True)
    content = [any(tag.startswith(_KEPT) for tag in tags) for tags in read]
    return Gate([int(c) for c in content])


def tags_of(ids: Sequence[int], decode: Callable[[Sequence[int]], str], tagger: Tagger) -> list[str]:
    """The Penn tag of the first word that each token holds part of; empty for none, or where the tagger fails."""
    return [tags[0] if tags else "" for tags in _words(ids, decode, tagger) or [[]] * len(ids)]


def _words(ids: Sequence[int], decode: Callable[[Sequence[int]], str], tagger: Tagger) -> list[list[str]] | None:
    """For each token the tags of the words it holds part of; ``None`` where the tagger fails or retokenises."""
    text, ends = offsets_of(ids, decode)
    bare = _TAG.sub(lambda m: " " * len(m.group(0)), text)
    words = list(_WORD.finditer(bare))
    try:
        tags = tagger(" ".join(w.group(0) for w in words)) if words else []
    except Exception:
        return None
    if len(tags) != len(words):
        return None
    of_character: list[str] = [""] * (len(text) + 1)
    for word, (_, tag) in zip(words, tags, strict=True):
        of_character[word.start() : word.end()] = [tag] * (word.end() - word.start())
    starts = [0, *ends[:-1]]
    return [list(dict.fromkeys(t for t in of_character[a:b] if t)) for a, b in zip(starts, ends, strict=True)]
