"""The first table of a run: records of a file into rows, every record accounted for.

Reading is cheap and is repeated whenever anything may have changed; equal records give equal bytes, so what was built
from them stays.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from avcurate.errors import UserError
from avcurate.runner.execute import Reproduce
from avcurate.runner.isolate import Isolation, guarded
from avcurate.runner.stage import Dead, Filtered, Kept, Outcome, Row
from avcurate.runner.tally import Tally, Watch, no_progress
from avcurate.schema import SCHEMA_VERSION, arrow_schema
from avcurate.sources.records import Record
from avcurate.store.parts import ROW_DIGEST, Commit, Parts, digest_of, to_table

PART_BYTES = 8 << 20


class Source(ABC):
    """Where a task's rows come from.

    ``name`` is what it is called in counts; ``table`` names its table; ``key`` is the column that names a row, unique
    over the table.
    """

    name: str
    table: str
    key: str
    rows: pa.Schema
    always_read: bool = False
    """Whether it is read on every resume, since its content may grow without a file that shows it (a folder)."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What the rows depend on: content of the input, format, columns. JSON-serialisable; no paths."""

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """The input's records, bad ones with a reason.

        Raises:
            UserError: the input is missing, or cannot be read to its end.
        """

    @abstractmethod
    def read(self, record: Record) -> Outcome:
        """The outcome of a good record: ``Kept`` holds the whole row.

        Raises:
            RowError: the record is dead.
        """

    def fingerprint(self) -> str:
        """Short hash of table and identity."""
        body = json.dumps([SCHEMA_VERSION, self.table, self.identity()], sort_keys=True, default=str)
        return hashlib.sha256(body.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Extent:
    """Which records are read: the first ``limit`` (0: all), those of certain numbers, those that give certain rows."""

    limit: int = 0
    only: frozenset[str] = frozenset()
    records: frozenset[int] = frozenset()
    part_size: int = 256

    def identity(self) -> dict[str, Any]:
        """As ``run.json`` has it."""
        chosen = {"only": sorted(self.only), "records": sorted(self.records)}
        return {"limit": self.limit, **chosen, "part_size": self.part_size}

    def select(self, records: Iterator[Record]) -> Iterator[Record]:
        """The records that are read."""
        if self.records:
            records = (r for r in records if r.row in self.records)
        return islice(records, self.limit) if self.limit else records


def run_source(
    source: Source, output: Parts, extent: Extent, reproduce: Reproduce, watch: Watch = no_progress
) -> Tally:
    """Write all parts of the first table; parts of an earlier, longer input are removed.

    Raises:
        UserError: the input holds no record, or cannot be read to its end.
    """
    reading = _Reading(source, extent)
    tally, part, fingerprint = Tally(), 0, source.fingerprint()
    records = extent.select(source.records())
    while batch := list(_batch(records, extent.part_size)):
        outcomes = [(r, reading.outcome(r)) for r in batch]
        for _, outcome in outcomes:
            tally.add(outcome)
        tally.total = tally.done
        _write(source, output, part, outcomes, fingerprint, reproduce)
        watch(tally, None, None)
        part += 1
    if part == 0:
        raise UserError("the input holds no record.", "Check that it is the right file.")
    for stale in output.commits()[part:]:
        output.remove(stale.part)
    return tally


def refuse_absent(source: Source, extent: Extent) -> None:
    """Refuse ids and record numbers that are not in the input, before anything is written.

    Raises:
        UserError: one is missing, or the input cannot be read to its end.
    """
    if not extent.only and not extent.records:
        return
    reading, numbers, ids = _Reading(source, extent), set[int](), set[str]()
    for record in extent.select(source.records()):
        numbers.add(record.row)
        outcome = reading.outcome(record)
        if isinstance(outcome, Kept):
            ids.add(str(outcome.added[source.key]))
    if extent.records - numbers:
        raise UserError(f"the input has no record {min(extent.records - numbers)}.", "Records are numbered from 1.")
    if extent.only - ids:
        raise UserError(
            f"no row of the input has the id {min(extent.only - ids)!r}.",
            f"Ids are those of the column {source.key} in a run's tables.",
        )


def _batch(records: Iterator[Record], rows: int) -> Iterator[Record]:
    """Records of one part: up to ``rows``, fewer where they are large."""
    size = 0
    for record in islice(records, rows):
        yield record
        size += record.size
        if size >= PART_BYTES:
            return


class _Reading:
    """One pass over the records."""

    def __init__(self, source: Source, extent: Extent) -> None:
        self._source, self._only = source, extent.only
        self._seen: set[bytes] = set()
        self._isolation = Isolation()

    def outcome(self, record: Record) -> Outcome:
        """The outcome of one record; with ``only``, one that gives no row is not among those selected."""
        outcome = self._read(record)
        return Filtered("not_selected", "left out by --only") if self._only and isinstance(outcome, Dead) else outcome

    def _read(self, record: Record) -> Outcome:
        if record.value is None:
            return Dead(record.reason, record.message, f"Fix record {record.row} of the input.")
        outcome: Outcome = guarded(self._isolation, lambda: self._source.read(record))
        if isinstance(outcome, Dead):
            numbered = outcome.message.startswith("record ")
            message = outcome.message if numbered else f"record {record.row}: {outcome.message}"
            hint = outcome.hint or f"Fix record {record.row} of the input."
            return Dead(outcome.reason, message, hint, None, outcome.trace)
        if not isinstance(outcome, Kept):
            return outcome
        key = str(outcome.added[self._source.key])
        if self._only and key not in self._only:
            return Filtered("not_selected", "left out by --only")
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        if digest in self._seen:
            return Filtered("duplicate", f"record {record.row} gives the same {self._source.key} as an earlier record.")
        self._seen.add(digest)
        return outcome


def _write(
    source: Source,
    output: Parts,
    part: int,
    outcomes: list[tuple[Record, Outcome]],
    fingerprint: str,
    reproduce: Reproduce,
) -> None:
    kept: list[Row] = []
    lost: dict[str, list[Row]] = {"filtered": [], "dead": []}
    counts: dict[str, dict[str, int]] = {"filtered": {}, "dead": {}}
    for record, outcome in outcomes:
        if isinstance(outcome, Kept):
            kept.append(outcome.added)
            continue
        kind = "filtered" if isinstance(outcome, Filtered) else "dead"
        counts[kind][outcome.reason] = counts[kind].get(outcome.reason, 0) + 1
        row: Row = {
            "row": record.row,
            "stage": source.name,
            "reason": outcome.reason,
            "message": outcome.message,
            "input": record.raw or json.dumps(record.value, ensure_ascii=False, default=str),
        }
        if isinstance(outcome, Dead):
            row |= {"hint": outcome.hint, "attempt": 1, "trace": outcome.trace}
            row["reproduce"] = reproduce(None, [record.row])
        lost[kind].append(row)
    table = to_table(kept, source.rows)
    digests = pa.array([digest_of("", row) for row in table.to_pylist()], pa.string())
    table = table.append_column(pa.field(ROW_DIGEST, pa.string()), digests)
    output.write(
        Commit(part, len(outcomes), len(kept), counts["filtered"], counts["dead"], "", fingerprint, key=source.key),
        {"kept": table, **{kind: to_table(rows, arrow_schema(kind)) for kind, rows in lost.items()}},
    )
