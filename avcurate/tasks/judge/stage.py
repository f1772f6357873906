"""Captions scored by a language model for sound and picture separately."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avcurate.engines.base import Engine, Sampling
from avcurate.errors import RowError, UserError
from avcurate.metrics.judging import SCHEMA, VERSION, Modality, judge_prompt, parse_judgement
from avcurate.review.items import CANNOT_TELL
from avcurate.review.verdicts import read_verdicts
from avcurate.runner.isolate import Isolation, guarded
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import NOT_NOW, Dead, Kept, Outcome, Row, WorkLog
from avcurate.scheduler.schedule import Scheduler
from avcurate.scheduler.text import TextUnit
from avcurate.schema import JUDGE, columns_schema
from avcurate.seeds import derive_seed
from avcurate.sources.side import side_records
from avcurate.store.parts import digest_of
from avcurate.tasks.judge.recipe import FIELDS, JudgeRecipe
from avcurate.tasks.records import RecordStage, content_of

MODALITIES: tuple[Modality, ...] = ("audio", "video")


class JudgeStage(RecordStage):
    """Columns added: ``schema.JUDGE``.

    Args:
        engine: answers text.
        recipe: sampling options, and the path of the truth.
    """

    name = "judge"
    version = 2
    journals_outcomes = False
    streams = True
    credit = 128

    def __init__(self, engine: Engine, recipe: JudgeRecipe) -> None:
        super().__init__(recipe.input.columns, FIELDS)
        self.engine, self.recipe = engine, recipe
        self.adds = columns_schema("judge", JUDGE)
        self.sampling = Sampling(**recipe.sampling.model_dump())
        self._truth: dict[str, Row] | None = None
        self._verdicts = read_human(recipe.input.verdicts) if recipe.input.verdicts is not None else {}

    def identity(self) -> dict[str, Any]:
        """The judge, its prompts and sampling, and the truth."""
        return {
            "truth": content_of(self.recipe.input.truth),
            "columns": self.columns,
            "judge": self.engine.identity(),
            "n": self.recipe.n,
            "seed": self.recipe.seed,
            "sampling": vars(self.sampling),
            "structured": self.recipe.structured,
            "prompt": VERSION,
        } | ({"verdicts": digest_of("", self._verdicts)} if self._verdicts else {})

    def setup(self) -> None:
        """Read the truth and load the judge."""
        truth = self.recipe.input.truth
        self._truth = read_truth(truth, self.columns) if truth is not None else None
        self.engine.setup()

    def provenance(self) -> dict[str, Any]:
        """The engine's report on the judge model."""
        return self.engine.provenance()

    def close(self) -> None:
        """Free the judge."""
        self.engine.close()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Judge both modalities of each caption; captions without usable input never reach the judge."""
        isolation, early = Isolation(), list[tuple[str, Dead]]()

        def readable() -> Iterator[Row]:
            for row in rows:
                if row is NOT_NOW:
                    yield row
                    continue
                caption = guarded(isolation, partial(self._read, row))
                if isinstance(caption, Dead):
                    early.append((self.row_id(row), caption))
                else:
                    yield row | caption

        for outcome in Scheduler(self.engine, self._unit, canary=False).process(readable(), log):
            yield from early
            early.clear()
            yield outcome
        yield from early

    def _unit(self, row: Row) -> TextUnit:
        prompts = dict[str, tuple[str, int]]()
        for modality in MODALITIES:
            if row[f"{modality}_references"]:
                text = judge_prompt(modality, row[f"{modality}_references"], row["caption"])
                seed = derive_seed("judge", self.recipe.seed, row["clip"], row["caption"], modality)
                prompts[modality] = (text, seed)
        schema = SCHEMA if self.recipe.structured else ""

        def outcome_of(replies: dict[str, list[dict[str, Any]]]) -> Outcome:
            return Kept(judged(row, replies))

        return TextUnit(self.row_id(row), row, self.engine, prompts, self.recipe.n, self.sampling, outcome_of, schema)

    def _read(self, row: Row) -> Row:
        raw = self.raw(row)
        caption, clip = raw.get(self.columns["caption"]), raw.get(self.columns["clip"])
        if not isinstance(caption, str) or not caption.strip():
            raise RowError("caption_empty", f"column {self.columns['caption']!r} holds no caption.")
        name = str(row["row"] if clip in (None, "") else clip)
        truth = raw if self._truth is None else self._truth.get(name)
        if truth is None:
            raise RowError("truth_missing", f"--truth has no entry for {name[:80]!r}.")
        row_columns: Row = {"clip": name, "caption": caption}
        for modality in MODALITIES:
            value = truth.get(self.columns[f"{modality}_caption"])
            texts = [value] if isinstance(value, str) else value or []
            if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
                raise RowError("truth_not_text", f"{self.columns[f'{modality}_caption']!r} is not text.")
            row_columns[f"{modality}_references"] = [t for t in texts if t.strip()]
            score = raw.get(self.columns[f"human_{modality}"])
            stated = None if score in (None, "") else _finite(score)
            row_columns[f"human_{modality}"] = self._verdicts.get(modality, {}).get(name) if stated is None else stated
        if not row_columns["audio_references"] and not row_columns["video_references"]:
            raise RowError("truth_missing", "there is neither an audio nor a video caption to judge against.")
        return row_columns


def judged(row: Row, replies: dict[str, list[dict[str, Any]]]) -> Row:
    """The columns of ``schema.JUDGE``: scores, and replies that could not be read."""
    columns: Row = {k: row[k] for k in ("clip", "caption", "human_audio", "human_video")}
    for modality in MODALITIES:
        texts = [r["text"] for r in replies.get(modality, [])]
        judgements = [parse_judgement(text) for text in texts]
        scores = [r[0] for r in judgements if r is not None]
        columns |= {
            f"{modality}_references": row[f"{modality}_references"],
            f"{modality}_scores": [None if r is None else r[0] for r in judgements],
            f"{modality}_score": float(np.mean(scores)) if scores else None,
            f"{modality}_spread": float(np.std(scores)) if scores else None,
            f"{modality}_reasons": [None if r is None else r[1] for r in judgements],
            f"{modality}_unparsed": [t for t, r in zip(texts, judgements, strict=True) if r is None],
        }
    return columns


def read_truth(path: Path, column: dict[str, str]) -> dict[str, Row]:
    """Audio and video captions by clip; records of one clip are merged.

    Raises:
        UserError: see :func:`avcurate.sources.side.side_records`.
    """
    truth: dict[str, Row] = {}
    for _, clip, raw in side_records(path, column["clip"]):
        entry = truth.setdefault(clip, {})
        for name in (column["audio_caption"], column["video_caption"]):
            value = raw.get(name)
            texts = value if isinstance(value, list) else [] if value in (None, "") else [value]
            entry[name] = [*entry.get(name, []), *texts]
    return truth


def read_human(reviewed: Path) -> dict[str, dict[str, float]]:
    """By modality and clip: the share of reviewers that confirm the clip's caption, of those who could tell.

    A caption that was asked about one modality is judged on that one; of any other, both scores are the verdict's.

    Raises:
        UserError: it is not a caption run, or nobody has reviewed it.
    """
    run = RunDir(reviewed)
    record = run.require("sample", made_by="caption")
    counts: dict[str, list[bool]] = {}
    for held in read_verdicts(run).values():
        for item, entry in held.items():
            if entry["verdict"] != CANNOT_TELL:
                counts.setdefault(item, []).append(entry["verdict"] == entry["expected"])
    if not counts:
        raise UserError(f"{reviewed} has no verdicts.", f"Review its captions first: avcurate review {reviewed}")
    clips = run.parts("sample").rows(columns=["question_id", "video_id"])
    shares = {
        r["video_id"]: float(np.mean(counts[r["question_id"]]))
        for t in clips
        for r in t.to_pylist()
        if r["question_id"] in counts
    }
    asked = record["recipe"].get("ask")
    return {m: shares for m, only in (("audio", "see"), ("video", "hear")) if asked != only}


def _finite(value: Any) -> float:
    """A human score.

    Raises:
        RowError: it is not a finite number.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RowError("human_score_not_a_number", f"{str(value)[:80]!r} is not a score.")
    return number
