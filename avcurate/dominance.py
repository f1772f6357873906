"""The chains behind ``avcurate dominance``: clips asked of a model, or published answers replayed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.engines.base import Engine
from avcurate.engines.open import open_engine
from avcurate.errors import RowError
from avcurate.label_pem import Begin, begin_nothing, sample_spec
from avcurate.media.folder import MediaFolder
from avcurate.recipe import PoolRecipe, Recipe
from avcurate.runner.chain import run_stage, settle
from avcurate.runner.execute import Options, Tally
from avcurate.runner.ingest import Ingest
from avcurate.runner.records import run_records
from avcurate.runner.rundir import RunDir, check_unchanged
from avcurate.runner.stage import Row
from avcurate.schema import Setting
from avcurate.sources.clips import BadRow, read_clips
from avcurate.sources.pool import clip_records, pool_format
from avcurate.sources.records import Record, read_records
from avcurate.stages.dominance import By, DominanceStage, judge
from avcurate.stages.sample import SampleStage
from avcurate.store.atomic import sha256
from avcurate.store.lock import writer_lock


@dataclass(frozen=True)
class DominanceJob:
    """One ``dominance`` invocation with a model."""

    clips: Path
    media: Path
    run: Path
    pool: PoolRecipe
    recipe: Recipe
    by: By = "prediction"
    media_pattern: str | None = None
    limit: int = 0
    part_size: int = 256
    decode_workers: int = 2
    force: bool = False


@dataclass(frozen=True)
class ReplayJob:
    """One ``dominance --replay`` invocation."""

    predictions: Path
    run: Path
    by: By = "prediction"
    labels: Path | None = None
    force: bool = False


def run_dominance(job: DominanceJob, begin: Begin = begin_nothing, engine: Engine | None = None) -> dict[str, Tally]:
    """Ask every clip of the list under A, V and AV, then decide which modality decides.

    Raises:
        RecipeChanged, RunLocked, UserError: see each.
    """
    run = RunDir(job.run)
    form = pool_format(job.pool, job.recipe.seed)
    ingest = Ingest(
        job.clips,
        MediaFolder(job.media, job.media_pattern),
        limit=job.limit,
        source=lambda: clip_records(job.clips),
        form=form,
    )
    with writer_lock(job.run):
        record = run.begin()
        record["recipe"] = job.recipe.model_dump(mode="json")
        record["input"] = {"annotations": str(job.clips), "media": str(job.media)}
        identity = {
            "clips": sha256(job.clips) if job.clips.is_file() else None,
            "pool": job.pool.model_dump(mode="json"),
            "seed": job.recipe.seed,
            "media": str(job.media.resolve()),
            "media_pattern": job.media_pattern,
            "limit": job.limit,
            "part_size": job.part_size,
        }
        check_unchanged(record, "ingest", identity, force=job.force)
        record["stages"]["ingest"] = {"identity": identity}
        run.save(record)
        tallies = {"ingest": ingest.run(run.parts("questions"), _fingerprint(identity), job.part_size, begin("ingest"))}
        settle(run, record, "ingest", tallies["ingest"])
        engine = engine or open_engine(job.recipe.model, job.recipe.layout == "interleaved")
        upstream = run.parts("questions")
        for stage in (
            SampleStage(engine, sample_spec(job.recipe), job.media, job.decode_workers),
            DominanceStage(job.by),
        ):
            force = job.force or isinstance(stage, DominanceStage)
            tallies[stage.name] = run_stage(run, record, stage, upstream, Options(), begin(stage.name), force=force)
            upstream = run.parts(stage.name)
        return tallies


def replay(job: ReplayJob, begin: Begin = begin_nothing) -> dict[str, Tally]:
    """Decide dominance from published answers: JSON Lines with ``video_id``, ``a``, ``v`` and ``av``.

    Each answer is a text or a list of texts. ``labels`` is a clip list (VGGSound, VGGSounder or
    ``clip,label``); without it nothing is known of what is right.

    Raises:
        RecipeChanged, RunLocked, UserError: see each.
    """
    run = RunDir(job.run)
    truth: dict[str, list[str]] = defaultdict(list)
    if job.labels is not None:
        for row in read_clips(job.labels):
            if not isinstance(row, BadRow):
                truth[row.clip_id].append(row.label)
    identity = {
        "predictions": sha256(job.predictions) if job.predictions.is_file() else None,
        "labels": sha256(job.labels) if job.labels else None,
        "by": job.by,
    }
    seen: set[str] = set()

    def read(batch: list[Record]) -> list[Row | RowError]:
        return [_replayed_once(r, truth, job.by, seen) for r in batch]

    with writer_lock(job.run):
        record = run.begin()
        record["input"] = {"annotations": str(job.predictions), "media": ""}
        records = read_records(job.predictions)
        tally = run_records(run, record, "dominance", identity, records, read, begin("dominance"), force=job.force)
    return {"dominance": tally}


def _replayed_once(record: Record, truth: dict[str, list[str]], by: By, seen: set[str]) -> Row | RowError:
    try:
        row = _replayed(record, truth, by)
    except RowError as e:
        return e
    if row["clip_id"] in seen:
        return RowError("duplicate", f"record {record.row}: {row['clip_id']} was answered before.")
    seen.add(row["clip_id"])
    return row


def _replayed(record: Record, truth: dict[str, list[str]], by: By) -> Row:
    raw = record.value or {}
    clip = raw.get("video_id") or raw.get("clip_id")
    if not isinstance(clip, str) or not clip.strip():
        raise RowError("field_missing", f"record {record.row} has no video_id.")
    told = {s: _answers(raw.get(str(s)), str(s), record.row) for s in Setting}
    row = judge(clip, truth.get(clip, []), told, dict.fromkeys(Setting, 1.0), by)
    return row | {"question_id": clip, "video_id": clip, "source": "replay", "row": record.row, "media": ""}


def _answers(value: object, name: str, number: int) -> list[str] | None:
    if isinstance(value, str):
        return [value] if value.strip() else None
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return [v for v in value if v.strip()] or None
    if value is None:
        return None
    raise RowError("answer_not_text", f"record {number}: {name!r} is neither a text nor a list of texts.")


def _fingerprint(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def summarise_dominance(run: RunDir) -> dict[str, Any]:
    """Counts of a finished run: dominance, reasons, hits per setting, disagreement and hallucination.

    A clip *disagrees* where audio and video alone are answered differently; it is *hallucinated* where the answer
    under both is none of its labels (counts as in crossmodal-hub Tab. 13, on answers instead of captions).
    """
    columns = ["dominance", "dominance_reason", "labels", *[f"{s}_{c}" for s in Setting for c in ("prediction", "hit")]]
    dominance: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    agree: dict[str, Counter[bool]] = defaultdict(Counter)
    hits: dict[str, Counter[bool]] = defaultdict(Counter)
    disagree = wrong = both = labelled = 0
    for table in run.parts("dominance").rows(columns=columns):
        for row in table.to_pylist():
            found = row["dominance"]
            (dominance if found else reasons)[found or row["dominance_reason"]] += 1
            apart = set(row["a_prediction"] or []) != set(row["v_prediction"] or [])
            disagree += apart
            if row["labels"]:
                labelled += 1
                invented = not row["av_hit"]
                wrong += invented
                both += invented and apart
                for s in Setting:
                    hits[str(s)][row[f"{s}_hit"]] += 1
                if found:
                    agree[found][row["av_hit"]] += 1
    return {
        "run": str(run.root),
        "clips": sum(dominance.values()) + sum(reasons.values()),
        "dominance": dict(dominance),
        "none": dict(reasons),
        "label_agreement": {k: round(c[True] / c.total(), 4) for k, c in agree.items()},
        "hit_rate": {k: round(c[True] / c.total(), 4) for k, c in hits.items()},
        "labelled": labelled,
        "disagree": disagree,
        "hallucinated": wrong,
        "hallucinated_and_disagree": both,
    }
