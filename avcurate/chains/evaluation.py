"""The chain behind ``avcurate eval``: a benchmark asked under conditions, scored, and set against another run."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avcurate.chains.label_pem import Begin, Job, begin_nothing, ingest_questions, sample_spec
from avcurate.engines.base import Engine
from avcurate.engines.open import open_engine
from avcurate.errors import UserError
from avcurate.media.swapped import SwappedFolder, Variant
from avcurate.metrics.evaluation import (
    AVHBENCH_QUESTIONS,
    answer_measures,
    avhbench_average,
    mcnemar,
    paired_interval,
)
from avcurate.metrics.pem import pem_of
from avcurate.recipe import Recipe
from avcurate.runner.chain import run_stage
from avcurate.runner.execute import Options, Tally
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.schema import PEM
from avcurate.seeds import derive_seed
from avcurate.stages.ask import CONDITIONS, AskStage, Condition
from avcurate.store.lock import writer_lock

# read off the three forced ones, without asking again (SFFL Table 3)
DERIVED = ("random", "oracle")


@dataclass(frozen=True)
class EvalJob:
    """One ``eval`` invocation.

    Attributes:
        job: annotations, media, recipe and run, as for label-pem.
        conditions: names of ``stages.ask.CONDITIONS``.
        swapped: a swap run whose clips stand in for the originals.
        variant: which of its clips.
        retry_dead: ask questions again that died before.
    """

    job: Job
    conditions: tuple[str, ...]
    swapped: Path | None = None
    variant: Variant = "counterfactual"
    retry_dead: bool = False


def run_eval(job: EvalJob, begin: Begin = begin_nothing, engine: Engine | None = None) -> dict[str, Tally]:
    """Ask every question under every condition.

    Raises:
        RecipeChanged, RunLocked, UserError: see each.
    """
    recipe, conditions = job.job.recipe, _conditions(job)
    _refuse_mask(recipe)
    run = RunDir(job.job.run)
    folder = None
    if job.swapped is not None:
        files = {
            r["clip"]: r[job.variant]
            for t in RunDir(job.swapped).parts("swap").rows(columns=["clip", job.variant])
            for r in t.to_pylist()
            if r[job.variant]
        }
        folder = SwappedFolder(job.job.media, job.swapped, files, job.variant, job.job.media_pattern)
    with writer_lock(job.job.run):
        record = run.begin()
        record["recipe"] = recipe.model_dump(mode="json")
        tallies = {"ingest": ingest_questions(job.job, run, record, begin("ingest"), folder)}
        engine = engine or open_engine(recipe.model, recipe.layout == "interleaved")
        media = job.swapped if job.swapped is not None else job.job.media
        stage = AskStage(engine, sample_spec(recipe), conditions, media, job.job.decode_workers)
        options = Options(
            retry_dead=job.retry_dead, reproduce=lambda stage, row_id: "run the same command with --retry-dead"
        )
        tallies["eval"] = run_stage(
            run, record, stage, run.parts("questions"), options, begin("eval"), force=job.job.force
        )
    return tallies


def _refuse_mask(recipe: Recipe) -> None:
    if "maam" in recipe.model.options and recipe.model.engine != "transformers":
        raise UserError(
            f"engine {recipe.model.engine!r} cannot decode under MAAM: it has no such mask.",
            "Use --engine transformers.",
        )
    if "maam" in recipe.model.options and not recipe.prompt.startswith("separate-then-fuse"):
        raise UserError(
            f"MAAM masks separate-then-fuse responses, not those of prompt {recipe.prompt!r}.",
            "Add --prompt separate-then-fuse.",
        )


def _conditions(job: EvalJob) -> list[Condition]:
    unknown = [c for c in job.conditions if c not in CONDITIONS]
    if unknown:
        raise UserError(f"there is no condition {unknown[0]!r}.", f"Conditions are: {', '.join(CONDITIONS)}.")
    chosen = [CONDITIONS[c] for c in CONDITIONS if c in job.conditions]
    if any(c.pem for c in chosen) and not job.job.recipe.prompt.startswith("separate-then-fuse"):
        raise UserError(
            f"a PEM can be forced in separate-then-fuse responses only, not with prompt {job.job.recipe.prompt!r}.",
            "Add --prompt separate-then-fuse.",
        )
    return chosen


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
    record = run.record()
    if not record["stages"].get("eval", {}).get("complete"):
        raise UserError(f"{run.root} is no finished run of `avcurate eval`.", "Finish it, or give another.")
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
        told = {t: _measures(tasks[t]) for t in sorted(tasks)}
        found[name] = {"all": _measures(answered), "tasks": told, "pem_accuracy": _pem_accuracy(answered)}
        if set(AVHBENCH_QUESTIONS) <= told.keys():
            found[name]["avhbench"] = avhbench_average({t: told[t]["accuracy"] for t in AVHBENCH_QUESTIONS})
    record = run.record()
    if "maam" in record["recipe"]["model"]["options"]:
        for name, rate in _malformed(run).items():
            found[name]["malformed"] = rate
    stages = {k: v for k, v in record["stages"].items() if "in" in v}
    model = record["recipe"]["model"]["model"]
    return {"run": str(run.root), "model": model, "conditions": found, "stages": stages}


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
    rng = np.random.default_rng(0)
    means = [scores[rng.integers(len(scores), size=len(scores))].mean() for _ in range(1000)]
    return measured | {
        "questions": len(answered),
        "accuracy": float(scores.mean()),
        "interval": [float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))],
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
