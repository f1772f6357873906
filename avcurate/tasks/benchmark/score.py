"""Scores of an eval run on a benchmark: by task and kind of negative, which modality wins, sensitivity to edits."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.metrics.evaluation import answer_measures
from avcurate.metrics.selection import followed, selection_rates
from avcurate.metrics.sensitivity import PairAnswers, sensitivity
from avcurate.metrics.statistics import wilson
from avcurate.runner.rundir import RunDir
from avcurate.sources.records import read_records

Question = dict[str, Any]
Given = dict[str, list[dict[str, Any]]]
"""Answers by question: what was answered, and whether it is right."""
UNANSWERED: list[dict[str, Any]] = [{"answer": None, "correct": False}]


def score(run: RunDir) -> dict[str, Any]:
    """Scores of each condition. Questions that died or were left out count as answered wrongly, and are counted.

    Raises:
        UserError: it is no finished eval run, or not one on a benchmark.
    """
    record = run.require("eval", made_by="eval")
    questions = questions_of(run)
    answered: dict[str, Given] = defaultdict(dict)
    for table in run.parts("eval").rows(columns=["source_id", "asked"]):
        for row in table.to_pylist():
            for asked in row["asked"]:
                answered[asked["condition"]][row["source_id"]] = [
                    {"answer": a, "correct": c} for a, c in zip(asked["answers"], asked["correct"], strict=True)
                ]
    return {
        "run": str(run.root),
        "model": record["recipe"]["model"]["model"],
        "questions": len(questions),
        "conditions": {name: _condition(questions, given) for name, given in answered.items()},
    }


def questions_of(run: RunDir) -> dict[str, Question]:
    """The benchmark's questions by their id.

    Raises:
        UserError: the run's questions are none of a benchmark, or their file is gone.
    """
    path = run.path_of("annotations") or Path()
    questions = {str(r.value["id"]): r.value for r in read_records(path) if r.value is not None and "id" in r.value}
    if not questions or not all({"task", "edit", "pair"} <= q.keys() for q in questions.values()):
        raise UserError(
            f"{run.root} is not an evaluation of a benchmark: {path} has no such questions.",
            "Run `avcurate eval FOLDER` on the folder `benchmark` of `avcurate benchmark hallucination`.",
        )
    return questions


def _condition(questions: dict[str, Question], given: Given) -> dict[str, Any]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name, q in questions.items():
        groups["all"].append(name)
        groups[q["task"]].append(name)
        if q["negative"]:
            groups[f"{q['task']}, absent: {q['negative']}"].append(name)
    pairs = _pairs(questions, given)
    by_edit: dict[str, list[PairAnswers]] = defaultdict(list)
    for edit, pair in pairs:
        by_edit[edit].append(pair)
    follows = (
        followed(a["answer"], q.get("by_sound"), q.get("by_picture"))
        for name, q in questions.items()
        for a in given.get(name, [])
    )
    return {
        "unanswered": sum(name not in given for name in questions),
        "groups": {name: _measures(questions, given, ids) for name, ids in groups.items()},
        "selection": selection_rates(follows),
        "sensitivity": sensitivity([p for _, p in pairs]),
        "sensitivity_by_edit": {edit: sensitivity(of_edit) for edit, of_edit in sorted(by_edit.items())},
    }


def _measures(questions: dict[str, Question], given: Given, ids: list[str]) -> dict[str, Any]:
    """Accuracy over all that was to be asked; for yes/no questions precision, recall, F1 and the rate of Yes."""
    answers: list[str | None] = []
    truths: list[str] = []
    right = 0.0
    for name in ids:
        replies = given.get(name) or UNANSWERED
        right += sum(r["correct"] for r in replies) / len(replies)
        answers += [r["answer"] for r in replies]
        truths += [questions[name]["answer"]] * len(replies)
    interval = list(wilson(round(right), len(ids)))
    return answer_measures(answers, truths) | {
        "questions": len(ids),
        "accuracy": right / len(ids),
        "interval": interval,
    }


def _pairs(questions: dict[str, Question], given: Given) -> list[tuple[str, PairAnswers]]:
    """Both sides of each pair, by its edit; of several responses the first of each."""
    sides: dict[str, dict[str, str]] = defaultdict(dict)
    for name, q in questions.items():
        if q["pair"]:
            sides[q["pair"]][q["side"]] = name
    pairs = []
    for both in sides.values():
        if set(both) != {"twin", "counterfactual"}:
            continue
        twin, other = ((given.get(both[s]) or UNANSWERED)[0] for s in ("twin", "counterfactual"))
        q = questions[both["counterfactual"]]
        right = bool(twin["correct"] and other["correct"])
        pairs.append((str(q["edit"]), PairAnswers(bool(q["changes"]), twin["answer"], other["answer"], right)))
    return pairs
