"""An evaluation in numbers, and two runs set against each other question by question."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from avcurate.errors import UserError
from avcurate.metrics.evaluation import (
    AVHBENCH_QUESTIONS,
    answer_measures,
    avhbench_average,
)
from avcurate.metrics.pem import pem_of
from avcurate.metrics.statistics import mcnemar, mean_interval, paired_interval
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.runner.status import stage_counts
from avcurate.scheduler.spec import CONDITIONS
from avcurate.schema import PEM
from avcurate.seeds import derive_seed

# read off the three forced ones, without asking again (SFFL Table 3)
DERIVED = ("random", "oracle")


@dataclass(frozen=True)
class Answered:
    """One question's answers under one condition, asked or derived."""

    question_id: str
    task: str
    pem: str | None
    truth: str
    answers: tuple[str | None, ...]
    correct: tuple[bool, ...]
    named: tuple[str | None, ...]

    @property
    def score(self) -> float:
        """Share of right responses."""
        return sum(self.correct) / len(self.correct)


def read_eval(run: RunDir) -> dict[str, list[Answered]]:
    """Answers of an eval run by condition; ``random`` and ``oracle`` from the forced ones where all three are there.

    Raises:
        UserError: the run is no finished eval run.
    """
    record = run.require("eval", made_by="eval")
    seed = record["recipe"]["seed"]
    found: dict[str, list[Answered]] = defaultdict(list)
    columns = ["question_id", "question_type", "stated_modality", "answer", "pem", "asked"]
    for table in run.parts("eval").rows(columns=columns):
        for row in table.to_pylist():
            for name, one in _answered(row, seed):
                found[name].append(one)
    return dict(found)


def _answered(row: Row, seed: int) -> Iterator[tuple[str, Answered]]:
    asked = {a["condition"]: a for a in row["asked"]}

    def one(a: Row) -> Answered:
        return Answered(
            row["question_id"],
            row["question_type"] or "",
            row["pem"],
            row["answer"],
            tuple(a["answers"]),
            tuple(a["correct"]),
            tuple(a["pems"]),
        )

    for name in CONDITIONS:
        if name in asked:
            yield name, one(asked[name])
    if all(f"av+{p}" in asked for p in PEM):
        drawn = random.Random(derive_seed(seed, "random-pem", row["question_id"])).choice(tuple(PEM))
        yield "random", one(asked[f"av+{drawn}"])
        if (pem := pem_of(row["pem"])) is not None:
            yield "oracle", one(asked[f"av+{pem}"])


def summarise_eval(run: RunDir) -> dict[str, Any]:
    """Measures per condition: over all questions, per task, and how often the named PEM is the question's.

    ``avhbench`` is the papers' average where all three of its tasks are there; ``malformed``, under MAAM, the share of
    responses that it left to plain causal attention.
    """
    found: dict[str, Any] = {}
    for name, answered in read_eval(run).items():
        tasks: dict[str, list[Answered]] = defaultdict(list)
        for a in answered:
            tasks[a.task].append(a)
        by_task = {t: _measures(tasks[t]) for t in sorted(tasks)}
        found[name] = {"all": _measures(answered), "tasks": by_task, "pem_accuracy": _pem_accuracy(answered)}
        if set(AVHBENCH_QUESTIONS) <= by_task.keys():
            found[name]["avhbench"] = avhbench_average({t: by_task[t]["accuracy"] for t in AVHBENCH_QUESTIONS})
    record = run.record()
    if record["recipe"].get("maam") or "maam" in record["recipe"]["model"]["options"]:
        for name, rate in _malformed(run).items():
            found[name]["malformed"] = rate
    return {
        "run": str(run.root),
        "model": record["recipe"]["model"]["model"],
        "conditions": found,
        "stages": stage_counts(record),
    }


def _malformed(run: RunDir) -> dict[str, float]:
    """Share of responses by condition that MAAM left to plain causal attention, for want of well-formed parts."""
    from avcurate.maam.traces import malformed

    texts: dict[str, list[str]] = defaultdict(list)
    for table in run.parts("eval").rows(columns=["asked"]):
        for row in table.to_pylist():
            for a in row["asked"]:
                texts[a["condition"]] += a["texts"]
    return {name: sum(bool(malformed(t)) for t in said) / len(said) for name, said in texts.items() if said}


def _measures(answered: list[Answered]) -> dict[str, Any]:
    flat = [(x, a.truth) for a in answered for x in a.answers]
    measured = answer_measures([x for x, _ in flat], [t for _, t in flat])
    scores = np.array([a.score for a in answered])
    return measured | {
        "questions": len(answered),
        "accuracy": float(scores.mean()),
        "interval": list(mean_interval(scores)),
    }


def _pem_accuracy(answered: list[Answered]) -> float | None:
    pairs = [(p, a.pem) for a in answered if a.pem for p in a.named]
    return sum(p == t for p, t in pairs) / len(pairs) if any(p for p, _ in pairs) else None


def compare_runs(ours: RunDir, theirs: RunDir) -> dict[str, Any]:
    """Two runs on the same questions, per condition: overall, per task and per PEM.

    Returns:
        ``{condition: {group: {n, ours, theirs, difference, interval, mcnemar}}}``; ``mcnemar`` (exact p-value) where
        each question was answered once.

    Raises:
        UserError: the runs share no question under one condition.
    """
    a, b = read_eval(ours), read_eval(theirs)
    found: dict[str, Any] = {}
    for name in a.keys() & b.keys():
        other = {x.question_id: x for x in b[name]}
        pairs = [(x, other[x.question_id]) for x in a[name] if x.question_id in other]
        groups: dict[str, list[tuple[Answered, Answered]]] = defaultdict(list)
        for pair in pairs:
            groups["all"].append(pair)
            groups[f"task {pair[0].task}"].append(pair)
            if pair[0].pem:
                groups[f"PEM {pair[0].pem}"].append(pair)
        found[name] = {g: _difference(groups[g]) for g in sorted(groups, key=lambda g: (g != "all", g))}
    if not any(found.values()):
        raise UserError(f"{ours.root} and {theirs.root} share no question.", "Evaluate both on one annotation file.")
    return {name: found[name] for name in [*CONDITIONS, *DERIVED] if found.get(name)}


def _difference(pairs: list[tuple[Answered, Answered]]) -> dict[str, Any]:
    ours, theirs = (np.array([p[i].score for p in pairs]) for i in (0, 1))
    mean, low, high = paired_interval(ours, theirs)
    once = all(len(x.correct) == 1 for p in pairs for x in p)
    return {
        "n": len(pairs),
        "ours": float(ours.mean()),
        "theirs": float(theirs.mean()),
        "difference": mean,
        "interval": [low, high],
        "mcnemar": mcnemar(ours == 1, theirs == 1) if once else None,
    }
