"""The chain behind ``avcurate caption``: clips described under A, V and AV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from avcurate.chains.clip_sampling import ClipJob, sample_clips
from avcurate.chains.label_pem import Begin, begin_nothing
from avcurate.engines.base import Engine
from avcurate.runner.execute import Tally
from avcurate.runner.rundir import RunDir
from avcurate.schema import Setting
from avcurate.sources.formats import Format
from avcurate.sources.question import Question
from avcurate.store.atomic import write_atomic
from avcurate.store.lock import writer_lock


def _read(raw: dict[str, Any]) -> Question:
    clip = str(raw["clip_id"])
    return Question("clips", clip, str(raw["media"]), "", (), ", ".join(raw["labels"]), None)


CAPTION_FORMAT = Format("clips", "a list of clips", frozenset({"clip_id", "labels"}), _read)


def run_captions(job: ClipJob, begin: Begin = begin_nothing, engine: Engine | None = None) -> dict[str, Tally]:
    """Describe every clip under each setting; write ``captions/a.jsonl``, ``v.jsonl`` and ``av.jsonl``.

    Each line has ``clip``, ``setting``, ``caption``, ``seed`` and ``labels``.

    Raises:
        RecipeChanged, RunLocked, UserError: see each.
    """
    run = RunDir(job.run)
    with writer_lock(job.run):
        record = run.begin()
        tallies = sample_clips(run, record, job, CAPTION_FORMAT, {"task": "caption"}, begin, engine)
        for setting in Setting:
            write_atomic(job.run / "captions" / f"{setting}.jsonl", lambda p, s=setting: _write(run, s, p))  # type: ignore[misc]
    return tallies


def _write(run: RunDir, setting: Setting, path: Path) -> None:
    with path.open("w", encoding="utf-8") as f:
        for table in run.parts("sample").rows(columns=["video_id", "answer", f"{setting}_responses"]):
            for row in table.to_pylist():
                for response in row[f"{setting}_responses"]:
                    line = {
                        "clip": row["video_id"],
                        "setting": str(setting),
                        "caption": response["text"].strip(),
                        "seed": response["seed"],
                        "labels": row["answer"],
                    }
                    f.write(json.dumps(line, ensure_ascii=False) + "\n")
