"""Clips of a list asked of a model under A, V and AV: what dominance and captions have in common."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avcurate.chains.label_pem import Begin, sample_spec
from avcurate.engines.base import Engine
from avcurate.engines.open import open_engine
from avcurate.media.folder import MediaFolder
from avcurate.recipe import Recipe
from avcurate.runner.chain import run_stage, settle
from avcurate.runner.execute import Options, Tally
from avcurate.runner.ingest import Ingest
from avcurate.runner.rundir import RunDir, check_unchanged
from avcurate.sources.formats import Format
from avcurate.sources.pool import clip_records
from avcurate.stages.sample import SampleStage
from avcurate.store.atomic import sha256


@dataclass(frozen=True)
class ClipJob:
    """Clips, where they lie, and how they are asked."""

    clips: Path
    media: Path
    run: Path
    recipe: Recipe
    media_pattern: str | None = None
    limit: int = 0
    part_size: int = 256
    decode_workers: int = 2
    force: bool = False
    retry_dead: bool = False


def asking(retry_dead: bool) -> Options:
    """How the stages of a list of clips are run; dead clips are asked again only on request."""
    again = "run the same command with --retry-dead"
    return Options(retry_dead=retry_dead, reproduce=lambda stage, row_id: again)


def sample_clips(
    run: RunDir,
    record: dict[str, Any],
    job: ClipJob,
    form: Format,
    asked: dict[str, Any],
    begin: Begin,
    engine: Engine | None,
) -> dict[str, Tally]:
    """Ingest the list and sample every clip; the caller holds the run's lock.

    Args:
        run: the run directory.
        record: its record.
        job: what is asked of whom.
        form: how a clip becomes a question.
        asked: what the questions depend on besides the list, for the run's identity.
        begin: opens a watcher for a stage.
        engine: the model; by default the recipe's.
    """
    record["recipe"] = job.recipe.model_dump(mode="json")
    record["input"] = {"annotations": str(job.clips), "media": str(job.media)}
    identity = {
        "clips": sha256(job.clips) if job.clips.is_file() else None,
        **asked,
        "media": str(job.media.resolve()),
        "media_pattern": job.media_pattern,
        "limit": job.limit,
        "part_size": job.part_size,
    }
    check_unchanged(record, "ingest", identity, force=job.force)
    record["stages"]["ingest"] = {"identity": identity}
    run.save(record)
    ingest = Ingest(
        job.clips,
        MediaFolder(job.media, job.media_pattern),
        limit=job.limit,
        source=lambda: clip_records(job.clips),
        form=form,
    )
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    tallies = {"ingest": ingest.run(run.parts("questions"), fingerprint, job.part_size, begin("ingest"))}
    settle(run, record, "ingest", tallies["ingest"])
    engine = engine or open_engine(job.recipe.model, job.recipe.layout == "interleaved")
    # no answer of a caption is right or wrong, and dominance needs all three: nothing may be left out
    spec = replace(sample_spec(job.recipe), early_exit=False)
    stage = SampleStage(engine, spec, job.media, job.decode_workers)
    tallies["sample"] = run_stage(
        run, record, stage, run.parts("questions"), asking(job.retry_dead), begin("sample"), force=job.force
    )
    return tallies
