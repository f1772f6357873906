"""How well answers do: accuracy, yes/no measures, benchmark averages, and whether two runs differ.

Works on answers and truths as text, not on runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from avcurate.metrics.answers import fold, parse_answer, yes_or_no

VAH, AVH, MIS = "Video-driven Audio Hallucination", "Audio-driven Video Hallucination", "AV Matching"
# questions per task in AVHBench; these weights reproduce SFFL's nine averages to the second decimal
AVHBENCH_QUESTIONS = {VAH: 2290, AVH: 1136, MIS: 1876}


def read_answer(text: str, choices: Sequence[str]) -> str | None:
    """The choice a response states; for Yes and No also as a word of a sentence."""
    choice = parse_answer(text, choices)
    if choice is None and sorted(map(fold, choices)) == ["no", "yes"]:
        word = yes_or_no(text)
        choice = next((c for c in choices if fold(c) == word), None)
    return choice


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
    measures: dict[str, float | int | None] = {
        "n": n,
        "accuracy": _ratio(right, n),
        "unparseable": _ratio(sum(a is None for a in answers), n),
    }
    if n and set(true) <= {"yes", "no"}:
        hits = sum(s == t == "yes" for s, t in zip(said, true, strict=True))
        said_yes, true_yes = said.count("yes"), true.count("yes")
        precision, recall = _ratio(hits, said_yes), _ratio(hits, true_yes)
        measures |= {
            "precision": precision,
            "recall": recall,
            "f1": _ratio(2 * hits, said_yes + true_yes),
            "yes_rate": said_yes / n,
        }
    return measures


def avhbench_average(accuracy: Mapping[str, float]) -> float:
    """Micro-average over AVHBench's questions from the accuracies of its three tasks (papers' "Avg.")."""
    total = sum(AVHBENCH_QUESTIONS.values())
    return sum(accuracy[task] * count for task, count in AVHBENCH_QUESTIONS.items()) / total


def overall_average(avhbench: float, avqa: float, valor: float, music: float) -> float:
    """SFFL's last column: mean of AVHBench's average, AVQA, Valor32k-AVQA and MUSIC-AVQA."""
    return (avhbench + avqa + valor + music) / 4


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None
