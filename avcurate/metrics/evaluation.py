"""How well answers do: accuracy, yes/no measures, benchmark averages, and whether two runs differ.

Knows answers and truths as text; knows no runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from avcurate.metrics.answers import fold, parse_answer, yes_or_no

VAH, AVH, MIS = "Video-driven Audio Hallucination", "Audio-driven Video Hallucination", "AV Matching"
# questions of each task in AVHBench; with these weights SFFL's nine averages come out to the second decimal
AVHBENCH_QUESTIONS = {VAH: 2290, AVH: 1136, MIS: 1876}


def read_answer(text: str, choices: Sequence[str]) -> str | None:
    """The choice a response states; for Yes and No also where it is one word of a sentence."""
    found = parse_answer(text, choices)
    if found is None and sorted(map(fold, choices)) == ["no", "yes"]:
        word = yes_or_no(text)
        found = next((c for c in choices if fold(c) == word), None)
    return found


def answer_measures(answers: Sequence[str | None], truths: Sequence[str]) -> dict[str, float | int | None]:
    """Measures over answers to questions of one kind; an unreadable answer is wrong.

    Returns:
        ``n``, ``accuracy``, ``unparseable`` (rates in [0, 1]); where every truth is Yes or No also ``precision``,
        ``recall``, ``f1`` (positive: Yes) and ``yes_rate``. ``None`` where there is nothing to divide by.
    """
    n = len(answers)
    said = ["" if a is None else fold(a) for a in answers]
    true = [fold(t) for t in truths]
    right = sum(s == t for s, t in zip(said, true, strict=True))
    found: dict[str, float | int | None] = {
        "n": n,
        "accuracy": _ratio(right, n),
        "unparseable": _ratio(sum(a is None for a in answers), n),
    }
    if n and set(true) <= {"yes", "no"}:
        hits = sum(s == t == "yes" for s, t in zip(said, true, strict=True))
        yes, there = said.count("yes"), true.count("yes")
        precision, recall = _ratio(hits, yes), _ratio(hits, there)
        found |= {"precision": precision, "recall": recall, "f1": _ratio(2 * hits, yes + there), "yes_rate": yes / n}
    return found


def avhbench_average(accuracy: Mapping[str, float]) -> float:
    """Micro-average over AVHBench's questions from the accuracies of its three tasks (papers' "Avg.")."""
    total = sum(AVHBENCH_QUESTIONS.values())
    return sum(accuracy[task] * count for task, count in AVHBENCH_QUESTIONS.items()) / total


def overall_average(avhbench: float, avqa: float, valor: float, music: float) -> float:
    """SFFL's last column: mean of AVHBench's average, AVQA, Valor32k-AVQA and MUSIC-AVQA."""
    return (avhbench + avqa + valor + music) / 4


def paired_interval(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], *, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Difference of two means over the same questions with its 95 % bootstrap interval; questions are drawn.

    Args:
        ours: float64 (N,), score of each question in [0, 1].
        theirs: float64 (N,), of the same questions.
    """
    difference = ours - theirs
    rng = np.random.default_rng(seed)
    means = np.array([difference[rng.integers(len(difference), size=len(difference))].mean() for _ in range(draws)])
    return float(difference.mean()), float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def mcnemar(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Exact two-sided p-value that two paired right/wrong answers differ by chance (binomial, McNemar 1947)."""
    b, c = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    n = b + c
    if n == 0:
        return 1.0
    log_half = n * math.log(0.5)

    def mass(k: int) -> float:
        return math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + log_half)

    return min(1.0, 2 * sum(mass(k) for k in range(min(b, c) + 1)))


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None
