"""Answers of a finished evaluation, one row per question and condition."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avcurate.metrics.scorers import answer_text
from avcurate.prompts import recorded_prompt
from avcurate.runner.rundir import RunDir
from avcurate.runner.source import Source
from avcurate.runner.stage import Kept, Outcome
from avcurate.schema import arrow_schema
from avcurate.sources.records import Record

COLUMNS = ["question_id", "source", "question", "choices", "answer", "question_type", "asked"]


class AnswerSource(Source):
    """What each response gave as its answer, its reasoning left out.

    Raises:
        UserError: it is not a finished eval run.
    """

    name, table, key = "answers", "records", "row"

    def __init__(self, path: Path) -> None:
        self.run = RunDir(path)
        self.record = self.run.require("eval", made_by="eval")
        self.rows = arrow_schema("records")

    @property
    def source(self) -> str:
        """The format of the questions; of several, the first."""
        columns = (t.column(0).to_pylist() for t in self.run.parts("eval").rows(columns=["source"]))
        return next((s for values in columns for s in values), "")

    def identity(self) -> dict[str, Any]:
        """The evaluation's tables."""
        parts = self.run.parts("eval")
        digests = [parts.digest(c) for c in parts.commits()]
        return {"evaluation": hashlib.sha256(json.dumps(digests).encode()).hexdigest()}

    def records(self) -> Iterator[Record]:
        """One record per question and condition."""
        prompt = recorded_prompt(self.record["recipe"])
        number = 0
        for table in self.run.parts("eval").rows(columns=COLUMNS):
            for row in table.to_pylist():
                for asked in row.pop("asked"):
                    number += 1
                    answers = [answer_text(prompt.read(t)) for t in asked["texts"]]
                    yield Record(number, {**row, "condition": asked["condition"], "answers": answers})

    def read(self, record: Record) -> Outcome:
        """The record as it is."""
        return Kept({"row": record.row, "record": json.dumps(record.value, ensure_ascii=False)})
