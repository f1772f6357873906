"""One raw record of an input, or what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.errors import UserError


@dataclass(frozen=True)
class Record:
    """One raw record.

    Attributes:
        row: 1-based number in the file (for CSV and JSON Lines, of the data line).
        value: the record's fields; ``None`` where it could not be read.
        reason: ``bad_json``, ``truncated_json``, ``json_too_deep``, ``number_too_long``, ``duplicate_key``,
            ``record_too_large``, ``not_delimited``, ``not_utf8``, ``not_a_record`` or ``bad_csv_row``.
        raw: its text verbatim, shortened.
        size: its bytes, for bounding memory; 0 where they are negligible.
    """

    row: int
    value: dict[str, Any] | None
    reason: str = ""
    message: str = ""
    raw: str = ""
    size: int = 0


def refuse_file(path: Path, where: str, what: str) -> UserError:
    """The error of a file that cannot be read to its end."""
    return UserError(
        f"{path.name} cannot be read beyond {where}: {what}.",
        "Fix the file, or add --salvage: what cannot be delimited as a record is then a dead row with its byte range.",
    )
