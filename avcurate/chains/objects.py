"""The chain behind ``avcurate objects``: a list of clips, detections, object sets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.chains.clip_sampling import asking
from avcurate.chains.label_pem import Begin, begin_nothing
from avcurate.engines.detector import Detector
from avcurate.engines.open import open_detector
from avcurate.errors import RowError, UserError
from avcurate.media.folder import SUFFIXES, MediaFolder
from avcurate.metrics.vocabulary import load_vocabulary
from avcurate.runner.chain import run_stage
from avcurate.runner.execute import Tally
from avcurate.runner.records import run_records
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row, Stage
from avcurate.sources.pool import clip_records
from avcurate.sources.records import Record
from avcurate.stages.objects import DetectStage, ObjectsStage
from avcurate.store.atomic import sha256, write_atomic
from avcurate.store.lock import writer_lock

# detections of a part are lost with a crash
CLIPS_PER_PART = 64


@dataclass(frozen=True)
class ObjectsJob:
    """One ``objects`` invocation. ``clips`` is a list, or ``None`` for every clip in the folder, without classes."""

    clips: Path | None
    media: Path
    run: Path
    model: str = "facebook/detr-resnet-50"
    revision: str | None = None
    threshold: float = 0.9
    floor: float = 0.3
    frames: int = 10
    seconds: float = 10.0
    batch: int = 40
    workers: int = 2
    media_pattern: str | None = None
    sheets: bool = True
    force: bool = False
    retry_dead: bool = False


def run_objects(job: ObjectsJob, begin: Begin = begin_nothing, detector: Detector | None = None) -> dict[str, Tally]:
    """Detect what is not detected yet, then make object sets at the threshold.

    Raises:
        RecipeChanged, RunLocked, UserError: see each.
    """
    if job.floor > job.threshold:
        raise UserError(
            f"the threshold {job.threshold:g} lies below the floor {job.floor:g}, under which nothing is stored.",
            "Lower --floor as well; that needs the detector again.",
        )
    run, media = RunDir(job.run), MediaFolder(job.media, job.media_pattern)

    def read(batch: list[Record]) -> list[Row | RowError]:
        return [_clip(r, media) for r in batch]

    identity = {
        "clips": _digest(job),
        "media": str(job.media.resolve()),
        "media_pattern": job.media_pattern,
    }
    detector = detector or open_detector(job.model, job.revision)
    stages: list[Stage] = [
        DetectStage(
            detector,
            job.media,
            job.run if job.sheets else None,
            frames=job.frames,
            seconds=job.seconds,
            floor=job.floor,
            batch=job.batch,
            workers=job.workers,
        ),
        ObjectsStage(load_vocabulary(), job.threshold),
    ]
    with writer_lock(job.run):
        record = run.begin()
        record["input"] = {"annotations": str(job.clips or job.media), "media": str(job.media)}
        tallies = {
            "clips": run_records(
                run,
                record,
                "clips",
                identity,
                _records(job),
                read,
                begin("clips"),
                force=job.force,
                part_size=CLIPS_PER_PART,
            )
        }
        upstream = run.parts("clips")
        for stage in stages:
            # a new threshold is no reason to ask: nothing dear is redone
            force = job.force or isinstance(stage, ObjectsStage)
            tallies[stage.name] = run_stage(
                run, record, stage, upstream, asking(job.retry_dead), begin(stage.name), force=force
            )
            upstream = run.parts(stage.name)
        write_atomic(job.run / "objects.jsonl", lambda p: _write(run, p))
    return tallies


def _write(run: RunDir, path: Path) -> None:
    """One line a clip with its object set, as ``avcurate hallucination --truth`` reads it."""
    with path.open("w", encoding="utf-8") as f:
        for table in run.parts("objects").rows(columns=["clip_id", "objects"]):
            for row in table.to_pylist():
                f.write(json.dumps({"clip": row["clip_id"], "objects": row["objects"]}, ensure_ascii=False) + "\n")


def _records(job: ObjectsJob) -> Iterator[Record]:
    if job.clips is not None:
        return clip_records(job.clips)
    files = sorted(
        p.relative_to(job.media).as_posix() for p in job.media.rglob("*") if p.suffix and p.suffix.lower() in SUFFIXES
    )
    if not files:
        raise UserError(f"{job.media} holds no clip.", "Give the folder of the clips with --media.")
    return (_named(i, name) for i, name in enumerate(files, 1))


def _named(number: int, name: str) -> Record:
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "replace").decode()
        return Record(number, None, "not_utf8", f"the file name {shown!r} is not UTF-8.", shown)
    return Record(number, {"clip_id": name, "media": name, "labels": []})


def _digest(job: ObjectsJob) -> str | None:
    if job.clips is None:
        return "folder"
    return sha256(job.clips) if job.clips.is_file() else None


def _clip(record: Record, media: MediaFolder) -> Row | RowError:
    raw = record.value or {}
    try:
        found = media.find(raw["media"])
    except RowError as e:
        return RowError(e.reason, f"row {record.row}: {e.message}", e.hint)
    return {"clip_id": raw["clip_id"], "row": record.row, "media": found, "labels": raw["labels"]}


def summarise_objects(run: RunDir) -> dict[str, Any]:
    """How many clips have which objects, and what maps to nothing."""
    objects: Counter[str] = Counter()
    added: Counter[str] = Counter()
    unmapped: Counter[str] = Counter()
    clips = 0
    for table in run.parts("objects").rows(columns=["annotated", "detected", "objects", "unmapped"]):
        for row in table.to_pylist():
            clips += 1
            objects.update(row["objects"])
            added.update(set(row["detected"]) - set(row["annotated"]))
            unmapped.update(row["unmapped"])
    record = run.record()
    return {
        "run": str(run.root),
        "clips": clips,
        "threshold": record["stages"]["objects"]["identity"]["threshold"],
        "objects": dict(objects.most_common()),
        "only_detected": dict(added.most_common()),
        "unmapped": dict(unmapped.most_common()),
    }
