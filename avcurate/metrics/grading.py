"""Answers that no rule on words can score: what a judge is asked about them, and how its replies are read.

MMAU-Pro's evaluation script has a judge rate open answers from 1 to 5 and takes a fifth of the overall rating;
papers score MUSIC-AVQA with a judge that says yes or no. Criteria and form of the reply are theirs, the wording ours.
"""

from __future__ import annotations

import re

from avcurate.metrics.answers import without_reasoning, yes_or_no

VERSION = 1
RATINGS = ("correctness", "relevance", "completeness", "clarity")
HIGHEST = 5.0
NEUTRAL = 3.0
"""What MMAU-Pro's script gives where it cannot read a rating."""

RATE = """Rate an answer to a question about a sound. A reference answer is given.

Question: {question}
Reference answer: {reference}
Answer: {answer}

Give whole numbers from 1 (worst) to 5 (best) for
- correctness: do its facts agree with the reference?
- relevance: does it answer this question?
- completeness: does it hold all that matters in the reference?
- clarity: is it clear and in order?
and their average as the overall rating. Reply in exactly these five lines, each with a short reason after the dash:
CORRECTNESS: number - reason
RELEVANCE: number - reason
COMPLETENESS: number - reason
CLARITY: number - reason
OVERALL: number - reason"""

SAME = """Does an answer say the same as the reference answer to a question?

Question: {question}
Reference answer: {reference}
Answer: {answer}

Synonyms, another order of words and numbers written as words are the same. An answer that names further candidates
beside the reference, or none, is not. Reply with one word: yes or no."""


def filled(prompt: str, question: str, reference: str, answer: str) -> str:
    """A judge's prompt with its three places filled; braces in what is put in stay as they are."""
    places = {"question": question, "reference": reference, "answer": answer}
    return re.sub(r"\{(question|reference|answer)\}", lambda m: places[m[1]], prompt)


def read_rating(reply: str) -> float | None:
    """The overall rating, from 1 to 5: as stated, else the mean of the four others; ``None`` if there is neither."""
    rest = without_reasoning(reply)
    overall = _stated(rest, "overall")
    if overall is not None:
        return overall
    others = [r for name in RATINGS if (r := _stated(rest, name)) is not None]
    return sum(others) / len(others) if len(others) == len(RATINGS) else None


def _stated(text: str, name: str) -> float | None:
    found = re.search(rf"{name}\W{{0,8}}(\d+(?:\.\d+)?)", text, re.IGNORECASE)
    value = float(found[1]) if found else None
    return value if value is not None and 1 <= value <= HIGHEST else None


def read_same(reply: str) -> bool | None:
    """Whether the judge said yes; ``None`` where it said neither yes nor no."""
    word = yes_or_no(reply)
    return None if word is None else word == "yes"
