"""From stored answers under A, V and AV to which modality decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from avcurate.metrics.answers import fold, parse_answer
from avcurate.metrics.dominance import NO_MAJORITY, by_correctness, by_prediction, majority, margin
from avcurate.prompts import LETTERS
from avcurate.runner.stage import Kept, Outcome, Row, Stage, WorkLog
from avcurate.schema import Setting, arrow_schema

By = Literal["prediction", "correctness"]


class DominanceStage(Stage):
    """Columns added: ``schema.DOMINANCE``. Needs no model."""

    name = "dominance"
    version = 1

    def __init__(self, by: By = "prediction") -> None:
        self.by: By = by
        self.output = arrow_schema("dominance")

    def identity(self) -> dict[str, Any]:
        """By what dominance is decided."""
        return {"by": self.by}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """One majority answer per setting, then the rule."""
        for row in rows:
            votes = {}
            for s in Setting:
                answers = [parse_answer(x["text"], row["choices"]) for x in row[f"{s}_responses"]]
                votes[s] = majority(answers)
            told = {s: None if answer is None else [answer] for s, (answer, _) in votes.items()}
            shares = {s: share for s, (_, share) in votes.items()}
            added = judge(row["video_id"], [row["answer"]], told, shares, self.by)
            if any(votes[s][0] is None and shares[s] > 0 for s in Setting):
                added |= {"dominance": None, "dominance_reason": NO_MAJORITY, "vote_confidence": None}
            letters = LETTERS[: len(row["choices"])]
            for s in Setting:
                first = {x["token"]: x["logprob"] for x in row[f"{s}_first_logprobs"] or []}
                added[f"{s}_margin"] = margin(first, letters)
            yield self.row_id(row), Kept(added)


def judge(
    clip_id: str,
    labels: list[str],
    told: dict[Setting, list[str] | None],
    shares: dict[Setting, float],
    by: By,
) -> Row:
    """The columns of ``schema.DOMINANCE`` for one clip.

    Args:
        clip_id: the clip.
        labels: its classes; may be empty, then nothing can hit.
        told: answer or answers per setting; ``None`` where unreadable.
        shares: share of responses behind each answer, in [0, 1].
        by: ``prediction`` (the paper's rule) or ``correctness``.
    """
    sets = {s: frozenset(map(fold, told[s] or [])) for s in Setting}
    truth = frozenset(map(fold, labels))
    hits = {s: bool(sets[s] & truth) for s in Setting}
    if by == "prediction":
        found, why = by_prediction(*(sets[s] or None for s in Setting))
    else:
        found, why = by_correctness(*(hits[s] for s in Setting))
    confidence = None
    if found is not None:
        confidence = 1.0
        for share in shares.values():
            confidence *= share
    row: Row = {"clip_id": clip_id, "labels": labels, "dominance": found, "dominance_reason": why}
    row |= {"dominance_by": by, "vote_confidence": confidence}
    for s in Setting:
        row |= {f"{s}_prediction": told[s], f"{s}_vote": shares[s], f"{s}_hit": hits[s] if labels else None}
    return row
