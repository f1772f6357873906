"""Summary of an evaluation, and a paired comparison of two runs."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from avcurate.errors import UserError
from avcurate.metrics.answers import fold
from avcurate.metrics.evaluation import (
    AVHBENCH_QUESTIONS,
    answer_measures,
    avhbench_average,
)
from avcurate.metrics.pem import pem_of
from avcurate.metrics.selection import followed, selection_rates
from avcurate.metrics.statistics import mcnemar, mean_interval, paired_interval
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.runner.status import stage_counts
from avcurate.scheduler.spec import CONDITIONS
from avcurate.schema import PEM
from avcurate.seeds import derive_seed
from avcurate.tasks.evaluate.answered import Answered
from avcurate.tasks.evaluate.official import official_measures

# derived from the three forced conditions, without sampling again (SFFL Table 3)
DERIVED = ("random", "oracle")


def read_eval(run: RunDir) -> dict[str, list[Answered]]:
    """Answers of an eval run by condition; ``random`` and ``oracle`` are derived if all three forced PEMs were asked.

    Raises:
        UserError: it is not a finished eval run.
    """
    record = run.require("eval", made_by="eval")
    seed = record["recipe"]["seed"]
    by_condition: dict[str, list[Answered]] = defaultdict(list)
    columns = ["question_id", "question_type", "stated_modality", "answer", "pem", "asked"]
    for table in run.parts("eval").rows(columns=columns):
        for row in table.to_pylist():
            for name, answered in _answered(row, seed):
                by_condition[name].append(answered)
    return dict(by_condition)


def _answered(row: Row, seed: int) -> Iterator[tuple[str, Answered]]:
    asked = {a["condition"]: a for a in row["asked"]}

    def answers_of(a: Row) -> Answered:
        return Answered(
            row["question_id"],
            row["question_type"] or "",
            row["pem"],
            row["answer"],
            tuple(a["answers"]),
            tuple(a["correct"]),
            tuple(a["pems"]),
            tuple(a.get("texts", ())),
        )

    for name in CONDITIONS:
        if name in asked:
            yield name, answers_of(asked[name])
    if all(f"av+{p}" in asked for p in PEM):
        drawn = random.Random(derive_seed(seed, "random-pem", row["question_id"])).choice(tuple(PEM))
        yield "random", answers_of(asked[f"av+{drawn}"])
        if (pem := pem_of(row["pem"])) is not None:
            yield "oracle", answers_of(asked[f"av+{pem}"])


def summarise_eval(run: RunDir) -> dict[str, Any]:
    """Measures per condition: over all questions, per task, and how often the stated PEM is the question's.

    Every question that was read from the file is in the denominator; one that died or could not be asked is wrong, and
    counted under ``lost``. ``records_lost`` never became questions and are in none.

    ``avhbench`` is the papers' average, if all three of its tasks are present; ``masks``, under MAAM, the shares of
    responses by the mask they were decoded under; ``official`` the benchmark's own rule; ``selection`` which modality
    answers under both follow where those under one of them differ.
    """
    record = run.record()
    by_condition, lost = read_eval(run), _lost(run)
    conditions: dict[str, Any] = {}
    for name, answered in by_condition.items():
        everything = [*answered, *lost]
        tasks: dict[str, list[Answered]] = defaultdict(list)
        for a in everything:
            tasks[a.task].append(a)
        by_task = {t: _measures(tasks[t]) for t in sorted(tasks)}
        conditions[name] = {"all": _measures(everything), "tasks": by_task, "pem_accuracy": _pem_accuracy(answered)}
        if set(AVHBENCH_QUESTIONS) <= by_task.keys():
            conditions[name]["avhbench"] = avhbench_average({t: by_task[t]["accuracy"] for t in AVHBENCH_QUESTIONS})
    if record["recipe"].get("maam") or "maam" in record["recipe"]["model"]["options"]:
        for name, answered in by_condition.items():
            conditions[name]["masks"] = _masks(answered)
    for name, official in official_measures(run, by_condition, len(lost)).items():
        conditions[name]["official"] = official
    ingest = record["stages"].get("ingest", {})
    return {
        "run": str(run.root),
        "model": record["recipe"]["model"]["model"],
        "conditions": conditions,
        "selection": _selection(by_condition),
        "lost": len(lost),
        "records_lost": sum(ingest.get("dead", {}).values()),
        "stages": stage_counts(record),
    }


def _lost(run: RunDir) -> list[Answered]:
    """Questions that were read and not asked, as wrong answers."""
    asked = {q for t in run.parts("eval").rows(columns=["question_id"]) for q in t.column(0).to_pylist()}
    columns = ["question_id", "question_type", "stated_modality", "answer"]
    rows = (r for t in run.parts("questions").rows(columns=columns) for r in t.to_pylist())
    return [
        Answered(
            r["question_id"],
            r["question_type"] or "",
            None if (pem := pem_of(r["stated_modality"])) is None else str(pem),
            r["answer"],
            (None,),
            (False,),
            (None,),
            lost=True,
        )
        for r in rows
        if r["question_id"] not in asked
    ]


def _masks(answered: list[Answered]) -> dict[str, float]:
    """Under MAAM: the share of responses by the mask they were decoded under."""
    from avcurate.maam.traces import MASKED, masked_as

    masks = [masked_as(t) for a in answered for t in a.texts]
    return {kind: masks.count(kind) / len(masks) for kind in MASKED} if masks else {}


def _selection(by_condition: dict[str, list[Answered]]) -> dict[str, Any] | None:
    """Which modality answers follow where sound alone and picture alone are answered apart (arXiv 2604.16902).

    The conflict is the model's own: its most frequent answers under A and under V.
    """
    if not {"a", "v", "av"} <= by_condition.keys():
        return None
    alone = {c: {x.question_id: _usual(x) for x in by_condition[c]} for c in ("a", "v")}
    follows = [
        followed(None if said is None else fold(said), alone["a"].get(x.question_id), alone["v"].get(x.question_id))
        for x in by_condition["av"]
        for said in x.answers
    ]
    return selection_rates(follows)


def _usual(x: Answered) -> str | None:
    counts = Counter(fold(a) for a in x.answers if a is not None)
    return counts.most_common(1)[0][0] if counts else None


def _measures(answered: list[Answered]) -> dict[str, Any]:
    pairs = [(x, a.truth) for a in answered for x in a.answers]
    measures = answer_measures([x for x, _ in pairs], [t for _, t in pairs])
    scores = np.array([a.score for a in answered])
    return measures | {
        "questions": len(answered),
        "lost": sum(a.lost for a in answered),
        "accuracy": float(scores.mean()),
        "interval": list(mean_interval(scores)),
    }


def _pem_accuracy(answered: list[Answered]) -> float | None:
    pairs = [(p, a.pem) for a in answered if a.pem for p in a.named]
    return sum(p == t for p, t in pairs) / len(pairs) if any(p for p, _ in pairs) else None


def compare_runs(ours: RunDir, theirs: RunDir) -> dict[str, Any]:
    """Compare two runs on the same questions, per condition: overall, per task and per PEM.

    Returns:
        ``{condition: {group: {n, ours, theirs, difference, interval, mcnemar}}}``; ``mcnemar`` (exact p-value) if
        each question was answered once.

    Raises:
        UserError: the runs share no question under any condition.
    """
    our_answers, their_answers = read_eval(ours), read_eval(theirs)
    differences: dict[str, Any] = {}
    for name in our_answers.keys() & their_answers.keys():
        other = {x.question_id: x for x in their_answers[name]}
        pairs = [(x, other[x.question_id]) for x in our_answers[name] if x.question_id in other]
        groups: dict[str, list[tuple[Answered, Answered]]] = defaultdict(list)
        for pair in pairs:
            groups["all"].append(pair)
            groups[f"task {pair[0].task}"].append(pair)
            if pair[0].pem:
                groups[f"PEM {pair[0].pem}"].append(pair)
        differences[name] = {g: _difference(groups[g]) for g in sorted(groups, key=lambda g: (g != "all", g))}
    if not any(differences.values()):
        raise UserError(
            f"{ours.root} and {theirs.root} share no question.", "Evaluate both on the same annotation file."
        )
    return {name: differences[name] for name in [*CONDITIONS, *DERIVED] if differences.get(name)}


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
