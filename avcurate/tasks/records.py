"""User tables: one row per record, parsed by the stage that uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from avcurate.errors import UserError
from avcurate.runner.source import Source
from avcurate.runner.stage import Kept, Outcome, Row, Stage
from avcurate.schema import arrow_schema
from avcurate.sources.records import Record, read_records
from avcurate.store.atomic import sha256


class RecordSource(Source):
    """The records of a table (.jsonl, .json, .csv, .tsv or .parquet), unchanged."""

    name, table, key = "records", "records", "row"

    def __init__(self, path: Path, salvage: bool = False) -> None:
        self.path, self.salvage = path, salvage
        self.rows: pa.Schema = arrow_schema("records")

    def identity(self) -> dict[str, Any]:
        """The file's content."""
        return {"records": content_of(self.path)}

    def records(self) -> Iterator[Record]:
        """The file's records."""
        return read_records(self.path, salvage=self.salvage)

    def read(self, record: Record) -> Outcome:
        """The record, whatever it holds."""
        return Kept({"row": record.row, "record": json.dumps(record.value, ensure_ascii=False, default=str)})


class RecordStage(Stage):
    """A stage over records, with fields in columns that the user can map.

    Args:
        columns: column of each field.
        fields: the known fields.
    """

    key = "row"
    key_type = pa.int64()

    def __init__(self, columns: dict[str, str], fields: tuple[str, ...]) -> None:
        unknown = set(columns) - set(fields)
        if unknown:
            raise UserError(f"there is no field {sorted(unknown)[0]!r}.", f"Fields are: {', '.join(fields)}.")
        self.columns = {f: columns.get(f, f) for f in fields}

    def raw(self, row: Row) -> dict[str, Any]:
        """The record of a row."""
        record: dict[str, Any] = json.loads(row["record"])
        return record


def content_of(path: Path | None) -> str | None:
    """SHA-256 of a file; ``None`` if there is no file."""
    return sha256(path) if path is not None and path.is_file() else None
