"""The chains behind ``avcurate dominance``: clips asked of a model, or published answers replayed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.chains.clip_sampling import ClipJob, sample_clips
from avcurate.chains.label_pem import Begin, begin_nothing
from avcurate.engines.base import Engine
from avcurate.errors import RowError
from avcurate.metrics.answers import fold
from avcurate.recipe import PoolRecipe
from avcurate.runner.chain import run_stage
from avcurate.runner.execute import Options, Tally
from avcurate.runner.records import run_records
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.schema import Setting
from avcurate.sources.clips import BadRow, read_clips
from avcurate.sources.pool import pool_format
from avcurate.sources.records import Record, read_records
from avcurate.stages.dominance import By, DominanceStage, judge
from avcurate.store.atomic import sha256
from avcurate.store.lock import writer_lock


@dataclass(frozen=True)
class ReplayJob:
    """One ``dominance --replay`` invocation."""

    predictions: Path
    run: Path
    by: By = "prediction"
    labels: Path | None = None
    force: bool = False


def run_dominance(
    job: ClipJob, pool: PoolRecipe, by: By = "prediction", begin: Begin = begin_nothing, engine: Engine | None = None
) -> dict[str, Tally]:
    """Ask every clip of the list under A, V and AV, then decide which modality decides.

    Raises:
        RecipeChanged, RunLocked, UserError: see each.
    """
    run = RunDir(job.run)
    form = pool_format(pool, job.recipe.seed)
    asked = {"pool": pool.model_dump(mode="json"), "seed": job.recipe.seed}
    with writer_lock(job.run):
        record = run.begin()
        tallies = sample_clips(run, record, job, form, asked, begin, engine)
        # deciding otherwise costs nothing, so it needs no asking
        tallies["dominance"] = run_stage(
            run, record, DominanceStage(by), run.parts("sample"), Options(), begin("dominance"), force=True
        )
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
            heard, seen = ({fold(x) for x in row[f"{s}_prediction"] or []} for s in ("a", "v"))
            apart = bool(heard and seen) and heard != seen
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
