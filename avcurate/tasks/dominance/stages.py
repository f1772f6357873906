"""Which modality decides, from stored answers under A, V and AV. Needs no model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avcurate.errors import RowError
from avcurate.metrics.answers import fold, parse_answer
from avcurate.metrics.dominance import NO_MAJORITY, by_correctness, by_prediction, majority, margin
from avcurate.prompts import CLASSIFY, LETTERS, Prompt
from avcurate.runner.isolate import in_batches
from avcurate.runner.source import Source
from avcurate.runner.stage import Kept, Outcome, Row, Stage, WorkLog
from avcurate.schema import DOMINANCE, Setting, arrow_schema, columns_schema
from avcurate.sources.clips import BadRow, read_clips
from avcurate.sources.records import Record, read_records
from avcurate.tasks.dominance.recipe import By
from avcurate.tasks.records import content_of

_LETTERED = re.compile(r"^[ \t]*(\(?[A-Z]\)?[.):][ \t]+\S.*)$", re.MULTILINE)
_LETTER_BEFORE = re.compile(r"^\s*\(?[A-Z]\)?[.):]\s+")
_LONE_LETTER = re.compile(r"\s*\(?([A-Za-z])\)?[.):]?\s*")


class DominanceStage(Stage):
    """Columns added: ``schema.DOMINANCE``, from sampled responses."""

    name = "dominance"
    version = 2
    cheap = True

    def __init__(self, by: By = "prediction", prompt: Prompt = CLASSIFY) -> None:
        self.by: By = by
        self.prompt = prompt
        self.adds = columns_schema("dominance", DOMINANCE)

    def identity(self) -> dict[str, Any]:
        """The rule that decides dominance."""
        return {"by": self.by}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """One majority answer per setting, then the rule."""
        return in_batches(rows, 1, self.row_id, lambda batch: [Kept(self._decide(batch[0]))])

    def _decide(self, row: Row) -> Row:
        votes = {}
        for s in Setting:
            answers = [parse_answer(self.prompt.read(x["text"]), row["choices"]) for x in row[f"{s}_responses"]]
            votes[s] = majority(answers)
        majorities = {s: None if answer is None else [answer] for s, (answer, _) in votes.items()}
        shares = {s: share for s, (_, share) in votes.items()}
        added = judge(row["video_id"], [row["answer"]], majorities, shares, self.by)
        if any(votes[s][0] is None and shares[s] > 0 for s in Setting):
            added |= {"dominance": None, "dominance_reason": NO_MAJORITY, "vote_confidence": None}
        letters = LETTERS[: len(row["choices"])]
        for s in Setting:
            first = {x["token"]: x["logprob"] for x in row[f"{s}_first_logprobs"] or []}
            added[f"{s}_margin"] = margin(first, letters)
        return added


class ReplayStage(DominanceStage):
    """Columns added: ``schema.DOMINANCE``, from published answers."""

    def _decide(self, row: Row) -> Row:
        answers = {s: row[f"{s}_answers"] for s in Setting}
        return judge(row["video_id"], row["classes"], answers, dict.fromkeys(Setting, 1.0), self.by)


class PredictionSource(Source):
    """Published answers: JSON Lines with ``video_id``, ``a``, ``v`` and ``av``, each a string or a list of strings.

    Args:
        path: the answers.
        labels: a clip list (VGGSound, VGGSounder or ``clip,label``); without it, hits are unknown.
    """

    name, table, key = "predictions", "predictions", "question_id"

    def __init__(self, path: Path, labels: Path | None) -> None:
        self.path, self.labels = path, labels
        self.rows = arrow_schema("predictions")
        self._classes: dict[str, list[str]] = {}

    def identity(self) -> dict[str, Any]:
        """Content of both files."""
        return {"predictions": content_of(self.path), "labels": content_of(self.labels)}

    def records(self) -> Iterator[Record]:
        """The answers' records."""
        self._classes = {}
        for row in read_clips(self.labels) if self.labels is not None else ():
            if not isinstance(row, BadRow):
                self._classes.setdefault(row.clip_id, []).append(row.label)
        return read_records(self.path)

    def read(self, record: Record) -> Outcome:
        """One clip's answers."""
        raw = record.value or {}
        clip = raw.get("video_id") or raw.get("clip_id")
        if not isinstance(clip, str) or not clip.strip():
            raise RowError("field_missing", "the record has no video_id.")
        stated = raw.get("label") or raw.get("original_label")
        classes = self._classes.get(clip) or ([stated] if isinstance(stated, str) and stated.strip() else [])
        row: Row = {"question_id": clip, "row": record.row, "video_id": clip, "classes": classes}
        options = _options(raw)
        return Kept(row | {f"{s}_answers": _answers(raw.get(str(s)), str(s), options) for s in Setting})


def _options(raw: Row) -> list[str]:
    """The options that letters stand for: a list, or the lettered lines of the question as asked."""
    listed = raw.get("options") or raw.get("choices")
    if listed is None:
        text = raw.get("question") or raw.get("prompt")
        listed = _LETTERED.findall(text) if isinstance(text, str) else []
    if not isinstance(listed, list) or not all(isinstance(o, str) for o in listed):
        raise RowError("options_not_text", "options is not a list of strings.")
    return [_LETTER_BEFORE.sub("", o).strip() for o in listed]


def _answers(value: object, name: str, options: list[str]) -> list[str] | None:
    """Answers as text; a letter is the option it stands for.

    Raises:
        RowError: ``answer_not_text``; ``letter_without_option``, which would agree with no label without a word.
    """
    if value is None:
        return None
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise RowError("answer_not_text", f"{name!r} is neither a string nor a list of strings.")
    return [_spelled(v, name, options) for v in values if v.strip()] or None


def _spelled(answer: str, name: str, options: list[str]) -> str:
    letter = _LONE_LETTER.fullmatch(answer)
    if letter is None:
        return answer
    place = ord(letter[1].upper()) - ord("A")
    if place >= len(options):
        raise RowError(
            "letter_without_option",
            f"{name!r} answers {answer.strip()[:20]!r}, and the record has {len(options)} options.",
            "Give the options as a list, or the question with its lettered lines.",
        )
    return options[place]


def judge(
    clip_id: str,
    labels: list[str],
    answers: dict[Setting, list[str] | None],
    shares: dict[Setting, float],
    by: By,
) -> Row:
    """The columns of ``schema.DOMINANCE`` for one clip.

    Args:
        clip_id: the clip.
        labels: its classes; if empty, hits are unknown.
        answers: answer or answers per setting; ``None`` if unreadable.
        shares: share of responses behind each answer, in [0, 1].
        by: ``prediction`` (the paper's rule) or ``correctness``.
    """
    folded = {s: frozenset(map(fold, answers[s] or [])) for s in Setting}
    truth = frozenset(map(fold, labels))
    hits = {s: bool(folded[s] & truth) for s in Setting}
    if by == "prediction":
        dominance, reason = by_prediction(*(folded[s] or None for s in Setting))
    else:
        dominance, reason = by_correctness(*(hits[s] for s in Setting))
    confidence = None
    if dominance is not None:
        confidence = 1.0
        for share in shares.values():
            confidence *= share
    row: Row = {"clip_id": clip_id, "labels": labels, "dominance": dominance, "dominance_reason": reason}
    row |= {"dominance_by": by, "vote_confidence": confidence}
    for s in Setting:
        row |= {f"{s}_prediction": answers[s], f"{s}_vote": shares[s], f"{s}_hit": hits[s] if labels else None}
    return row
