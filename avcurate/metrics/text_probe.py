"""How far questions can be answered from their text: a cross-validated classifier, no model and no media.

After the text-only probe of arXiv 2511.04655: what a simple reader of other questions' answers gets right is no proof
of hearing or seeing. Needs scikit-learn, which sentence-transformers brings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.errors import UserError
from avcurate.metrics.answers import fold
from avcurate.seeds import derive_seed

_WORD = re.compile(r"\w+")
MOST_WORDS = 24
OPEN_CHOICES = 30
FEATURES = 1 << 18


@dataclass(frozen=True)
class Text:
    """A question as text.

    Attributes:
        question, choices, answer: as asked; without choices the question is open.
        group: questions of one group are never on both sides of a fold: the source video.
    """

    question: str
    choices: tuple[str, ...]
    answer: str
    group: str


@dataclass(frozen=True)
class Guess:
    """What the probe makes of one question.

    Attributes:
        right: whether its first guess is the answer; probability: that it gives the answer; chance: of guessing it.
    """

    right: bool
    probability: float
    chance: float


def text_probe(texts: Sequence[Text], folds: int = 5, seed: int = 0) -> list[Guess]:
    """Guesses for every question from the answers to questions of other folds, in order.

    Open questions are guessed among the most frequent answers; one whose answer is not among them is wrong.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        from sklearn.feature_extraction import FeatureHasher  # type: ignore[import-untyped]
        from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    except ImportError:
        hint = "Install it: pip install 'avcurate[embed]'."
        raise UserError("the text-only probe needs scikit-learn.", hint) from None
    frequent = tuple(a for a, _ in Counter(t.answer for t in texts if not t.choices).most_common(OPEN_CHOICES))
    choices = [t.choices or frequent for t in texts]
    fold_of = np.array([derive_seed("text-probe", seed, t.group) % folds for t in texts])
    starts = np.concatenate([[0], np.cumsum([len(c) for c in choices])]).astype(int)
    owner = np.repeat(np.arange(len(texts)), np.diff(starts))
    lines = [features(t.question, c, i) for t, c in zip(texts, choices, strict=True) for i in range(len(c))]
    truth = np.array([fold(x) == fold(t.answer) for t, c in zip(texts, choices, strict=True) for x in c])
    if not lines:
        return [Guess(False, 0.0, 0.0) for _ in texts]
    matrix = FeatureHasher(FEATURES, input_type="string").transform(lines)
    score: NDArray[np.float64] = np.zeros(len(lines))
    for k in range(folds):
        learn, guess = fold_of[owner] != k, fold_of[owner] == k
        if not guess.any() or len(set(truth[learn])) < 2:
            continue
        reader: Any = LogisticRegression(C=1.0, solver="liblinear", random_state=0)
        reader.fit(matrix[learn], truth[learn])
        score[guess] = reader.decision_function(matrix[guess])
    return [_guess(score[a:b], truth[a:b]) for a, b in pairwise(starts.tolist())]


def features(question: str, choices: Sequence[str], i: int) -> list[str]:
    """What the reader sees of one choice: its words, place and length, and the words of its question."""
    choice = fold(choices[i])
    words = _WORD.findall(choice)
    asked = list(dict.fromkeys(_WORD.findall(question.casefold())))[:MOST_WORDS]
    longest = len(choices[i]) == max(map(len, choices))
    return [
        f"place {i} of {len(choices)}",
        f"longest {longest}",
        f"is {choice}",
        *(f"word {w}" for w in words),
        *(f"{a} then {choice}" for a in asked),
        *(f"{a} then {b} then {choice}" for a, b in pairwise(asked)),
    ]


def _guess(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> Guess:
    n = len(scores)
    if n == 0 or not truth.any():
        return Guess(False, 0.0, 0.0)
    # equal scores are a guess among all of them
    if float(np.ptp(scores)) == 0.0:
        return Guess(False, 1 / n, 1 / n)
    weights = np.exp(scores - scores.max())
    right = bool(truth[int(scores.argmax())])
    return Guess(right, float(weights[truth].sum() / weights.sum()), 1 / n)
