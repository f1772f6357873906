"""A second table that rows are looked up in, e.g. ground truth: every record counts, or the table is refused.

A record skipped silently would make the rows that need it dead for a reason that is not theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.sources.records import read_records


def side_records(path: Path, key: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Number, key and fields of every record.

    Raises:
        UserError: the file or one of its records cannot be read, or a record has nothing in column ``key``.
    """
    for record in read_records(path):
        if record.value is None:
            raise UserError(f"record {record.row} of {path}: {record.message}", "Correct or remove that record.")
        name = record.value.get(key)
        if name in (None, "") or isinstance(name, bool) or not isinstance(name, (str, int)):
            raise UserError(
                f"record {record.row} of {path} has nothing in column {key!r}.",
                "Every record must say which clip it is about; name another column with --map clip=COLUMN.",
            )
        yield record.row, str(name), record.value


def side_table(path: Path, key: str) -> dict[str, dict[str, Any]]:
    """Fields by key; equal records count once.

    Raises:
        UserError: as :func:`side_records`, or two records of one key differ.
    """
    table: dict[str, dict[str, Any]] = {}
    for row, name, value in side_records(path, key):
        if table.setdefault(name, value) != value:
            raise UserError(
                f"record {row} of {path} contradicts an earlier one about {name[:80]!r}.",
                "Put what is known about a clip into one record.",
            )
    return table
