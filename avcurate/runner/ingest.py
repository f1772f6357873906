"""An annotation file into question parts: every record becomes a question, filtered or dead."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from avcurate.errors import RowError, UserError
from avcurate.media.folder import MediaFolder
from avcurate.runner.execute import Tally, Watch, watch_nothing
from avcurate.runner.stage import Dead, Filtered, Kept, Outcome
from avcurate.schema import arrow_schema
from avcurate.sources.annotations import read_annotations
from avcurate.sources.formats import Format, by_name, detect
from avcurate.sources.records import Record
from avcurate.store.parts import Commit, Parts, to_table

STAGE = "ingest"
NOT_ASKED = frozenset({"not_a_question", "class_not_in_pool"})


class Ingest:
    """Reads one annotation file or dataset.

    Args:
        annotations: the file, or what else :func:`read_annotations` takes.
        media: where its clips are.
        format_name: ``auto`` or a format's name.
        mapping: column of each field, for the generic format.
        only: question ids to keep; empty keeps all.
        limit: stop after this many records; 0 reads all.
        source: records from elsewhere than the file's own format, with the ``form`` that reads them.
    """

    def __init__(
        self,
        annotations: Path,
        media: MediaFolder,
        format_name: str = "auto",
        mapping: dict[str, str] | None = None,
        only: frozenset[str] = frozenset(),
        limit: int = 0,
        source: Callable[[], Iterator[Record]] | None = None,
        form: Format | None = None,
    ) -> None:
        self.annotations = annotations
        self.media = media
        self.format_name = "table" if mapping and format_name == "auto" else format_name
        self.mapping = mapping or {}
        self.only = only
        self.limit = limit
        self._seen: set[int] = set()
        self._source = source or (lambda: read_annotations(annotations))
        self._format = form

    def records(self) -> Iterator[Record]:
        """The file's records, up to the limit."""
        found = self._source()
        return islice(found, self.limit) if self.limit else found

    def outcome(self, record: Record) -> Outcome:
        """What becomes of one record."""
        if record.value is None:
            return Dead(record.reason, record.message, f"Mend record {record.row} of {self.annotations.name}.")
        try:
            question = self._reader(record.value).read(record.value)
            if self.only and question.question_id not in self.only:
                return Filtered("not_selected", "left out by --only")
            key = int(question.question_id, 16)
            if key in self._seen:
                return Filtered("duplicate", f"record {record.row} asks what an earlier record asks.")
            self._seen.add(key)
            return Kept(question.row(record.row, self.media.find(question.media_name)))
        except RowError as e:
            if e.reason in NOT_ASKED:
                return Filtered(e.reason, e.message)
            return Dead(e.reason, f"record {record.row}: {e.message}", e.hint)

    def _reader(self, raw: dict[str, Any]) -> Format:
        if self._format is None:
            self._format = detect(raw) if self.format_name == "auto" else by_name(self.format_name, self.mapping)
        return self._format

    def run(self, output: Parts, fingerprint: str, part_size: int, watch: Watch = watch_nothing) -> Tally:
        """Write all parts; parts of an earlier, longer ingest are removed.

        Raises:
            UserError: the file holds no record, or its format cannot be told.
        """
        tally, part = Tally(), 0
        records = self.records()
        while batch := list(islice(records, part_size)):
            outcomes = [(r, self.outcome(r)) for r in batch]
            for _, outcome in outcomes:
                tally.add(outcome)
            tally.total = tally.done
            self._write(output, part, outcomes, fingerprint)
            watch(tally, None, None)
            part += 1
        if part == 0:
            raise UserError(f"{self.annotations} holds no record.", "Check that it is the annotation file.")
        for stale in output.commits()[part:]:
            output.remove(stale.part)
        return tally

    def _write(self, output: Parts, part: int, outcomes: list[tuple[Record, Outcome]], fingerprint: str) -> None:
        kept, filtered, dead = [], [], []
        counts: dict[str, dict[str, int]] = {"filtered": {}, "dead": {}}
        for record, outcome in outcomes:
            if isinstance(outcome, Kept):
                kept.append(outcome.added)
                continue
            note = {
                "row": record.row,
                "stage": STAGE,
                "reason": outcome.reason,
                "message": outcome.message,
                "input": record.raw or json.dumps(record.value, ensure_ascii=False, default=str),
            }
            kind = "filtered" if isinstance(outcome, Filtered) else "dead"
            counts[kind][outcome.reason] = counts[kind].get(outcome.reason, 0) + 1
            if isinstance(outcome, Filtered):
                filtered.append(note)
            else:
                again = "run the command again once the input is mended"
                dead.append(note | {"hint": outcome.hint, "attempt": 1, "reproduce": again})
        output.write(
            Commit(part, len(outcomes), len(kept), counts["filtered"], counts["dead"], "", fingerprint),
            {
                "kept": to_table(kept, arrow_schema("questions")),
                "filtered": to_table(filtered, arrow_schema("filtered")),
                "dead": to_table(dead, arrow_schema("dead")),
            },
        )
