"""Proof of hearing where no tokens can be counted: what a model says must follow the sound and the picture.

Endpoints report no media tokens and often no log-probabilities. So the model is asked many times about built-in clips
that differ in the sound alone, or in the picture alone; whether the words of its answers differ by more than chance is
decided by a permutation test on the distance between the mean word counts of both groups.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avcurate.engines.base import Engine, Failure, ListSource, Request, Sampling
from avcurate.engines.canary_clips import NotHearing, canary_requests
from avcurate.prompts import COT

ASKED = 24
LEVEL = 0.002
DRAWS = 4000
MAX_TOKENS = 160
QUESTIONS = {"sound": "How does the sound go on?", "picture": "What do you see?"}


def difference_by_chance(one: Sequence[str], other: Sequence[str], *, draws: int = DRAWS, seed: int = 0) -> float:
    """Probability that two groups of texts use words as differently as they do, if both came from the same source.

    Args:
        one: texts; other: texts.

    Returns:
        p in (0, 1], at least 1 / (draws + 1).
    """
    counts = _word_counts([*one, *other])
    size = len(one)

    def distance(order: NDArray[np.int64]) -> float:
        shuffled = counts[order]
        return float(((shuffled[:size].mean(0) - shuffled[size:].mean(0)) ** 2).sum())

    rng = np.random.default_rng(seed)
    unshuffled = np.arange(len(counts))
    observed = distance(unshuffled)
    as_far = sum(distance(rng.permutation(unshuffled)) >= observed - 1e-12 for _ in range(draws))
    return (1 + as_far) / (draws + 1)


def _word_counts(texts: Sequence[str]) -> NDArray[np.float64]:
    """float64 (N, W), each row of unit length."""
    words = [re.findall(r"\w+", t.casefold()) for t in texts]
    column_of = {w: i for i, w in enumerate(sorted({w for text_words in words for w in text_words}))}
    counts = np.zeros((len(texts), max(1, len(column_of))))
    for row, text_words in zip(counts, words, strict=True):
        for word in text_words:
            row[column_of[word]] += 1
    return np.asarray(counts / np.maximum(1e-9, np.linalg.norm(counts, axis=1, keepdims=True)))


def check_behaviour(engine: Engine) -> None:
    """Ask about clips that differ in one modality, alone and beside the other, and compare the answers.

    Raises:
        NotHearing: the answers do not follow the sound, or the picture; or there are none.
    """
    clips = canary_requests()
    pairs = {
        ("sound", "alone"): (replace(clips["av"], frames=None), replace(clips["av/other sound"], frames=None)),
        ("picture", "alone"): (clips["v"], replace(clips["av/other picture"], audio=None)),
        ("sound", "under the same picture"): (clips["av"], clips["av/other sound"]),
        ("picture", "over the same sound"): (clips["av"], clips["av/other picture"]),
    }
    requests = [
        _request(request, f"{what} {context} {i}", QUESTIONS[what], 1000 * i)
        for (what, context), both in pairs.items()
        for i, request in enumerate(both)
    ]
    answers: dict[str, list[str]] = {}
    for reply in engine.generate(ListSource(requests)):
        if isinstance(reply, Failure):
            raise NotHearing(f"{engine.name} did not answer the canary ({reply.reason}): {reply.message}", reply.hint)
        answers[reply.key] = [r.text for r in reply.responses]
    for what, context in pairs:
        p = difference_by_chance(answers[f"{what} {context} 0"], answers[f"{what} {context} 1"])
        if p > LEVEL:
            raise NotHearing(
                f"{engine.name} does not follow the {what}: asked {ASKED} times each about two clips that differ in "
                f"the {what} alone, {context}, its answers differ no more than by chance (p = {p:.3f}).",
                "The endpoint may drop that modality. Check which content parts the model accepts, or try another one.",
            )


def _request(request: Request, key: str, question: str, seed: int) -> Request:
    sampling = Sampling(temperature=1.0, max_tokens=MAX_TOKENS)
    return replace(request, key=key, prompt=COT.render(question, ()), n=ASKED, seed=seed, sampling=sampling)
