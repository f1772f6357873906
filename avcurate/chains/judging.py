"""The chain behind ``avcurate judge``: captions scored by a language model for their sound and their picture, apart."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avcurate.chains.label_pem import Begin, begin_nothing
from avcurate.engines.base import Engine, Failure, ListSource, Request, Sampling
from avcurate.engines.open import open_engine
from avcurate.errors import RowError, UserError
from avcurate.metrics.evaluation import paired_interval
from avcurate.metrics.judging import SCHEMA, VERSION, Modality, correlation, judge_prompt, parse_judgement
from avcurate.recipe import ModelSpec
from avcurate.runner.execute import Tally
from avcurate.runner.records import run_records
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.seeds import derive_seed
from avcurate.sources.records import Record, read_records
from avcurate.store.atomic import sha256
from avcurate.store.lock import writer_lock

FIELDS = ("clip", "caption", "audio_caption", "video_caption", "human_audio", "human_video")
MODALITIES: tuple[Modality, ...] = ("audio", "video")
PART = 64


@dataclass(frozen=True)
class JudgeJob:
    """One ``judge`` invocation.

    Attributes:
        captions: a table with a clip and a caption, and what is really heard and seen (or ``truth`` says that).
        truth: another table with a clip and what is heard and seen.
        columns: column of each of ``FIELDS``.
        n: judgements of each caption and modality.
        structured: hold the model to the JSON schema where the engine can.
    """

    captions: Path
    run: Path
    model: ModelSpec
    truth: Path | None = None
    columns: dict[str, str] = field(default_factory=dict)
    n: int = 1
    seed: int = 0
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, top_p=0.8, top_k=20, max_tokens=2048))
    structured: bool = True
    force: bool = False


def run_judge(job: JudgeJob, begin: Begin = begin_nothing, engine: Engine | None = None) -> dict[str, Tally]:
    """Judge every caption; what was judged before is not asked again.

    Raises:
        RecipeChanged, RunLocked, UserError: see each; a judge that cannot be reached stops the run, resumably.
    """
    unknown = set(job.columns) - set(FIELDS)
    if unknown:
        raise UserError(f"there is no field {sorted(unknown)[0]!r}.", f"Fields are: {', '.join(FIELDS)}.")
    column = {f: job.columns.get(f, f) for f in FIELDS}
    truth = _truths(job.truth, column) if job.truth else None
    engine = engine or open_engine(job.model)
    judge = _Judge(job, engine, column, truth)
    identity = {
        "captions": sha256(job.captions) if job.captions.is_file() else None,
        "truth": sha256(job.truth) if job.truth else None,
        "columns": column,
        "judge": engine.identity(),
        "n": job.n,
        "seed": job.seed,
        "sampling": vars(job.sampling),
        "structured": job.structured,
        "prompt": VERSION,
    }
    run = RunDir(job.run)
    with writer_lock(job.run):
        record = run.begin()
        record["input"] = {"annotations": str(job.captions), "media": ""}
        try:
            tally = run_records(
                run,
                record,
                "judge",
                identity,
                read_records(job.captions),
                judge.rows,
                begin("judge"),
                force=job.force,
                part_size=PART,
                reuse=True,
            )
        finally:
            judge.close()
    return {"judge": tally}


def _truths(path: Path, column: dict[str, str]) -> dict[str, Row]:
    """What is heard and seen by clip; a clip's records are put together."""
    found: dict[str, Row] = {}
    for record in read_records(path):
        raw = record.value or {}
        if raw.get(column["clip"]) in (None, ""):
            continue
        held = found.setdefault(str(raw[column["clip"]]), {})
        for name in (column["audio_caption"], column["video_caption"]):
            given = raw.get(name)
            texts = given if isinstance(given, list) else [] if given in (None, "") else [given]
            held[name] = [*held.get(name, []), *texts]
    return found


def _finite(value: Any) -> float:
    """A finite number.

    Raises:
        ValueError, TypeError: it is none.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


class _Judge:
    """Judges the records of a part; the model is loaded when the first is."""

    def __init__(self, job: JudgeJob, engine: Engine, column: dict[str, str], truth: dict[str, Row] | None) -> None:
        self.job, self.engine, self.column, self.truth = job, engine, column, truth
        self._ready = False

    def close(self) -> None:
        """Free the model, if it was loaded."""
        if self._ready:
            self.engine.close()

    def rows(self, batch: list[Record]) -> list[Row | RowError]:
        """One row for each record, with all its judgements."""
        read: list[Row | RowError] = [self._read(r) for r in batch]
        requests = [r for row in read if not isinstance(row, RowError) for r in self._requests(row)]
        if requests and not self._ready:
            self.engine.setup()
            self._ready = True
        replies: dict[str, list[str] | Failure] = {}
        for reply in self.engine.generate(ListSource(requests)) if requests else ():
            replies[reply.key] = reply if isinstance(reply, Failure) else [r.text for r in reply.responses]
        return [row if isinstance(row, RowError) else self._judged(row, replies) for row in read]

    def _read(self, record: Record) -> Row | RowError:
        raw, where = record.value or {}, f"record {record.row}"
        caption, clip = raw.get(self.column["caption"]), raw.get(self.column["clip"])
        if not isinstance(caption, str) or not caption.strip():
            return RowError("caption_empty", f"{where} has no caption in column {self.column['caption']!r}.")
        name = str(record.row if clip in (None, "") else clip)
        known = raw if self.truth is None else self.truth.get(name)
        if known is None:
            return RowError("truth_missing", f"{where}: --truth does not tell of {name[:80]!r}.")
        row: Row = {"clip": name, "row": record.row, "caption": caption}
        for modality in MODALITIES:
            given = known.get(self.column[f"{modality}_caption"])
            texts = [given] if isinstance(given, str) else given or []
            if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
                return RowError("truth_not_text", f"{where}: {self.column[f'{modality}_caption']!r} is no text.")
            row[f"{modality}_references"] = [t for t in texts if t.strip()]
            score = raw.get(self.column[f"human_{modality}"])
            try:
                row[f"human_{modality}"] = None if score in (None, "") else _finite(score)
            except (TypeError, ValueError):
                return RowError("human_score_not_a_number", f"{where}: {score!r} is no score.")
        if not row["audio_references"] and not row["video_references"]:
            return RowError("truth_missing", f"{where}: neither what is heard nor what is seen is given.")
        return row

    def _requests(self, row: Row) -> Iterator[Request]:
        for modality in MODALITIES:
            if row[f"{modality}_references"]:
                yield Request(
                    f"{row['row']}/{modality}/0",
                    judge_prompt(modality, row[f"{modality}_references"], row["caption"]),
                    None,
                    None,
                    1.0,
                    self.job.n,
                    derive_seed("judge", self.job.seed, row["clip"], row["caption"], modality),
                    self.job.sampling,
                    schema=SCHEMA if self.job.structured else "",
                )

    def _judged(self, row: Row, replies: dict[str, list[str] | Failure]) -> Row | RowError:
        for modality in MODALITIES:
            reply = replies.get(f"{row['row']}/{modality}/0", [])
            if isinstance(reply, Failure):
                return RowError(f"judge_{reply.reason}", f"record {row['row']}: {reply.message}", reply.hint)
            read = [parse_judgement(text) for text in reply]
            scores = [r[0] for r in read if r is not None]
            row |= {
                f"{modality}_scores": [None if r is None else r[0] for r in read],
                f"{modality}_score": float(np.mean(scores)) if scores else None,
                f"{modality}_spread": float(np.std(scores)) if scores else None,
                f"{modality}_reasons": [None if r is None else r[1] for r in read],
                f"{modality}_unparsed": [t for t, r in zip(reply, read, strict=True) if r is None],
            }
        return row


def summarise_judge(run: RunDir) -> dict[str, Any]:
    """Mean scores with intervals, what could not be read, spread between judgements, agreement with people."""
    rows = [r for t in run.parts("judge").rows() for r in t.to_pylist()]
    found: dict[str, Any] = {"run": str(run.root), "captions": len(rows)}
    for modality in MODALITIES:
        scores = np.array([r[f"{modality}_score"] for r in rows if r[f"{modality}_score"] is not None])
        asked = sum(len(r[f"{modality}_scores"]) for r in rows)
        both = [
            (r[f"{modality}_score"], r[f"human_{modality}"])
            for r in rows
            if r[f"{modality}_score"] is not None and r[f"human_{modality}"] is not None
        ]
        mean, low, high = paired_interval(scores, np.zeros(len(scores))) if len(scores) else (None, None, None)
        spreads = [r[f"{modality}_spread"] for r in rows if r[f"{modality}_spread"] is not None]
        found[modality] = {
            "captions": len(scores),
            "mean": mean,
            "interval": [low, high],
            "judgements": asked,
            "unparsed": sum(len(r[f"{modality}_unparsed"]) for r in rows),
            "unscored_captions": sum(bool(r[f"{modality}_scores"]) and r[f"{modality}_score"] is None for r in rows),
            "mean_spread": float(np.mean(spreads)) if spreads else None,
            "human": correlation(*(np.array(x) for x in zip(*both, strict=True))) if both else None,
        }
    return found


def compare_judged(ours: RunDir, theirs: RunDir) -> dict[str, Any]:
    """Per modality the drop of mean scores from the other run to this one, over clips that both scored.

    Returns:
        ``{modality: {clips, ours, theirs, difference, interval, drop}}``; ``drop`` is relative to the other run.

    Raises:
        UserError: no clip was scored in both.
    """
    found: dict[str, Any] = {}
    for modality in MODALITIES:
        scores = [_scores_by_clip(run, modality) for run in (ours, theirs)]
        clips = sorted(scores[0].keys() & scores[1].keys())
        if not clips:
            continue
        a, b = (np.array([np.mean(s[c]) for c in clips]) for s in scores)
        mean, low, high = paired_interval(a, b)
        found[modality] = {
            "clips": len(clips),
            "ours": float(a.mean()),
            "theirs": float(b.mean()),
            "difference": mean,
            "interval": [low, high],
            "drop": float(-mean / b.mean()) if b.mean() else None,
        }
    if not found:
        raise UserError(f"{ours.root} and {theirs.root} scored no clip in common.", "Judge captions of the same clips.")
    return found


def _scores_by_clip(run: RunDir, modality: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for table in run.parts("judge").rows(columns=["clip", f"{modality}_score"]):
        for row in table.to_pylist():
            if row[f"{modality}_score"] is not None:
                found[row["clip"]].append(row[f"{modality}_score"])
    return found
