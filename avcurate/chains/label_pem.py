"""The chain behind ``avcurate label-pem``: ingest, sample, score, label.

Builds stages from a recipe and drives them over a run directory. Prints nothing.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from avcurate.engines.base import Engine, Sampling
from avcurate.engines.embedder import open_embedder
from avcurate.engines.open import open_engine
from avcurate.errors import UserError
from avcurate.media.decode import DecodeSpec
from avcurate.media.folder import MediaFolder
from avcurate.metrics.answers import is_correct, parse_answer
from avcurate.metrics.pem import label
from avcurate.metrics.solvability import needed
from avcurate.recipe import Recipe
from avcurate.runner.chain import run_stage, settle
from avcurate.runner.execute import Options, Tally, Watch, watch_nothing
from avcurate.runner.ingest import Ingest
from avcurate.runner.rundir import RunDir, check_unchanged
from avcurate.runner.stage import Stage
from avcurate.schema import Setting
from avcurate.sources.annotations import digest
from avcurate.stages.label import Thresholds, label_table
from avcurate.stages.sample import SampleStage
from avcurate.stages.sample_spec import SampleSpec
from avcurate.stages.score import ScoreStage
from avcurate.store.lock import writer_lock
from avcurate.store.parts import Commit, Parts

PART_SIZE = 256
Begin = Callable[[str], Watch]


def begin_nothing(stage: str) -> Watch:
    """The default: nobody watches."""
    return watch_nothing


@dataclass(frozen=True)
class Job:
    """One ``label-pem`` invocation."""

    annotations: Path
    media: Path
    run: Path
    recipe: Recipe
    format_name: str = "auto"
    mapping: dict[str, str] = field(default_factory=dict)
    media_pattern: str | None = None
    only: frozenset[str] = frozenset()
    limit: int = 0
    part_size: int = PART_SIZE
    decode_workers: int = 2
    force: bool = False
    fail_on_dead: float | None = None
    retry_reasons: frozenset[str] | None = None
    executor: str = "local"


def sample_spec(recipe: Recipe) -> SampleSpec:
    """The sampling stage's part of a recipe."""
    return SampleSpec(
        prompt=recipe.prompt,
        n=recipe.n,
        seed=recipe.seed,
        sampling=Sampling(**recipe.sampling.model_dump()),
        ablation=recipe.ablation,
        interleaved=recipe.layout == "interleaved",
        early_exit=recipe.early_exit,
        tau_acc=recipe.tau_acc,
        media=DecodeSpec(**recipe.media.model_dump()),
    )


def build_stages(job: Job, engine: Engine | None = None) -> list[Stage]:
    """The stages that need a model, in order."""
    engine = engine or open_engine(job.recipe.model, job.recipe.layout == "interleaved")
    return [
        SampleStage(engine, sample_spec(job.recipe), job.media, job.decode_workers),
        ScoreStage(open_embedder(job.recipe.embedder.model), job.recipe.n),
    ]


def run_job(job: Job, begin: Begin = begin_nothing, engine: Engine | None = None) -> dict[str, Tally]:
    """Run, or resume, the whole chain.

    Returns:
        Counts of each stage.

    Raises:
        RecipeChanged, RunLocked, TooManyDead, UserError: see each.
    """
    run = RunDir(job.run)
    with writer_lock(job.run):
        record = run.begin()
        record["recipe"] = job.recipe.model_dump(mode="json")
        tallies = {"ingest": ingest_questions(job, run, record, begin("ingest"))}
        upstream = run.parts("questions")
        for stage in build_stages(job, engine):
            tallies[stage.name] = run_stage(
                run,
                record,
                stage,
                upstream,
                _options(job),
                begin(stage.name),
                executor=job.executor,
                force=job.force,
            )
            upstream = run.parts(stage.name)
        thresholds = Thresholds(job.recipe.tau_acc, job.recipe.embedder.tau_cot)
        tallies["label"] = label_run(run, record, thresholds, begin("label"))
    return tallies


def _options(job: Job) -> Options:
    return Options(
        retry_dead=job.retry_reasons is not None,
        retry_reasons=job.retry_reasons or frozenset(),
        fail_on_dead=job.fail_on_dead,
        reproduce=lambda _, row_id: _reproduce(job, row_id),
    )


def ingest_questions(
    job: Job, run: RunDir, record: dict[str, Any], watch: Watch, media: MediaFolder | None = None
) -> Tally:
    """Read the annotations into the table ``questions``; what was read before is not read again.

    Raises:
        RecipeChanged: the stored questions were read from another input.
    """
    media = media or MediaFolder(job.media, job.media_pattern)
    ingest = Ingest(job.annotations, media, job.format_name, job.mapping, job.only, job.limit)
    identity = {
        "annotations": digest(job.annotations),
        "format": ingest.format_name,
        "mapping": job.mapping,
        **media.identity(),
        "media_pattern": job.media_pattern,
        "only": sorted(job.only),
        "limit": job.limit,
        "part_size": job.part_size,
    }
    check_unchanged(record, "ingest", identity, force=job.force)
    output = run.parts("questions")
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    before = record["stages"].get("ingest", {})
    done = before.get("complete") and before.get("identity") == identity
    if done and job.retry_reasons is None:
        tally = Tally()
        for commit in output.commits():
            tally.add_commit(commit)
        tally.total = tally.done
    else:
        record["stages"]["ingest"] = {"identity": identity}
        record["input"] = {"annotations": str(job.annotations), "media": str(job.media)}
        run.save(record)
        tally = ingest.run(output, fingerprint, job.part_size, watch)
    watch(tally, None, None)
    settle(run, record, "ingest", tally)
    return tally


def label_run(run: RunDir, record: dict[str, Any], thresholds: Thresholds, watch: Watch = watch_nothing) -> Tally:
    """Label, or label anew, every scored part; parts already labelled so are kept."""
    scored, labelled = run.parts("score"), run.parts("label")
    identity = {"version": 1, "tau_acc": thresholds.tau_acc, "tau_cot": thresholds.tau_cot}
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    tally = Tally()
    for stale in {c.part for c in labelled.commits()} - {c.part for c in scored.commits()}:
        labelled.remove(stale)
    for commit in scored.commits():
        digest, done = scored.digest(commit), labelled.commit_of(commit.part)
        tally.total += commit.kept
        if done is None or done.fingerprint != fingerprint or done.upstream != digest:
            table = label_table(scored.read(commit.part), thresholds)
            done = labelled.write(
                Commit(commit.part, commit.kept, commit.kept, {}, {}, digest, fingerprint, {}, _mix(table)),
                {"kept": table},
            )
        tally.add_commit(done)
        watch(tally, None, None)
    record["stages"].setdefault("label", {})["identity"] = identity
    record["mix"] = label_mix(labelled)
    settle(run, record, "label", tally)
    return tally


def _mix(table: pa.Table) -> dict[str, float]:
    counts: dict[str, float] = {}
    for name in ("pem", "discard_reason"):
        for entry in table.column(name).drop_null().value_counts():
            counts[entry["values"].as_py()] = entry["counts"].as_py()
    return counts


def label_mix(labelled: Parts) -> dict[str, int]:
    """Rows per PEM and per discard reason."""
    total: dict[str, int] = {}
    for commit in labelled.commits():
        for name, n in commit.facts.items():
            total[name] = total.get(name, 0) + int(n)
    return total


def _reproduce(job: Job, row_id: str) -> str:
    words = ["avcurate", "label-pem", str(job.annotations), "--media", str(job.media)]
    words += ["--only", row_id, "-o", f"{job.run}-{row_id}"]
    words += ["--engine", job.recipe.model.engine, "--model", job.recipe.model.model]
    if job.format_name != "auto":
        words += ["--format", job.format_name]
    return shlex.join(words)


def provisional_label(row: dict[str, Any], n: int, tau_acc: float) -> str:
    """The label a sampled row would get by correctness alone, for a running display."""
    state: dict[Setting, bool] = {}
    for s in Setting:
        responses = row[f"{s}_responses"]
        right = sum(is_correct(parse_answer(x["text"], row["choices"]), row["answer"]) for x in responses)
        state[s] = right >= needed(tau_acc, n)
    pem, _ = label(state[Setting.A], state[Setting.V], state[Setting.AV])
    return str(pem) if pem else "discard"


def ingest_only(job: Job, watch: Watch = watch_nothing) -> Tally:
    """The first step alone; ``label-pem`` goes on from it."""
    run = RunDir(job.run)
    with writer_lock(job.run):
        record = run.begin()
        return ingest_questions(job, run, record, watch)


def job_of_run(root: Path, retry_reasons: frozenset[str], decode_workers: int) -> Job:
    """The job that made a run, to ask its dead rows again.

    Raises:
        UserError: there is no run.
    """
    record = RunDir(root).record()
    identity = record["stages"].get("ingest", {}).get("identity", {})
    if "format" not in identity:
        raise UserError(f"{root} is not a run of label-pem.", "Run the command that made it again, with --retry-dead.")
    return Job(
        annotations=Path(record["input"]["annotations"]),
        media=Path(record["input"]["media"]),
        run=root,
        recipe=Recipe.model_validate(record["recipe"]),
        format_name=identity["format"],
        mapping=identity["mapping"],
        media_pattern=identity["media_pattern"],
        only=frozenset(identity["only"]),
        limit=identity["limit"],
        part_size=identity["part_size"],
        decode_workers=decode_workers,
        retry_reasons=retry_reasons,
    )
