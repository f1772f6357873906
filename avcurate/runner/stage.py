"""What a stage is to the runner: a declaration and one method.

A stage is pure given its inputs and its seed. Batches, parts, retries and executors belong to the
runner; a stage sees a stream of rows and answers each with one outcome, in any order.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

Row = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """The row goes on, with these columns added."""

    added: Row


@dataclass(frozen=True)
class Filtered:
    """The row is sound but not wanted, for a named reason."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Dead:
    """The row could not be processed, for a named reason; ``avcurate retry`` asks it again."""

    reason: str
    message: str
    hint: str = ""
    setting: str | None = None


Outcome = Kept | Filtered | Dead


class WorkLog(Protocol):
    """Where a stage keeps finished pieces of a row, so that a crash does not lose them."""

    def get(self, row_id: str) -> dict[str, Any]:
        """Finished pieces of a row, by key."""

    def put(self, row_id: str, key: str, value: Any) -> None:
        """Record one finished piece."""


class NoLog:
    """A work log that keeps nothing."""

    def get(self, row_id: str) -> dict[str, Any]:
        """Always empty."""
        return {}

    def put(self, row_id: str, key: str, value: Any) -> None:
        """Forgets at once."""


class Stage(ABC):
    """One step of a pipeline.

    ``name`` names the output directory; ``version`` changes when the same input would give another
    output; ``output`` is the Arrow schema of kept rows.
    """

    name: str
    version: int
    output: pa.Schema
    key: str = "question_id"

    def row_id(self, row: Row) -> str:
        """What names a row: the column ``key``."""
        return str(row[self.key])

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What the output depends on besides the rows: models, seeds, thresholds. JSON-serialisable."""

    def setup(self) -> None:  # noqa: B027
        """Load models; called once per worker, before the first row."""

    @abstractmethod
    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """One ``(row_id, outcome)`` per row, in any order; rows are pulled as they are needed."""

    def facts(self) -> dict[str, float]:
        """Values that stored output was made with and that do not make it stale as a whole."""
        return {}

    def complete(self, row: Row) -> bool:
        """Whether a stored row is all that the stage would give now; asked where :meth:`facts` differ."""
        return True

    def pieces(self, row: Row) -> dict[str, Any]:
        """Finished pieces that an incomplete stored row holds, as :meth:`WorkLog.put` would have them."""
        return {}

    def close(self) -> None:  # noqa: B027
        """Free what :meth:`setup` took."""

    def fingerprint(self) -> str:
        """Short hash of name, version and identity; a change of it makes stored output stale."""
        body = json.dumps([self.name, self.version, self.identity()], sort_keys=True, default=str)
        return hashlib.sha256(body.encode()).hexdigest()[:16]
