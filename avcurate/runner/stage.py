"""What a stage is to the runner: a declaration and one method.

A stage is pure given its inputs and its seed. Batches, parts, retries and executors belong to the runner. Three kinds:
a :class:`Stage` sees a stream of rows and gives each one outcome, in any order; a :class:`TableStage` adds columns to a
whole part at once, cheaply; a :class:`WholeStage` has to see all rows before it can decide on one.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from avcurate.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from avcurate.store.parts import Parts

Row = dict[str, Any]
NOT_NOW: Row = {}
"""What a source of rows gives when it has none at the moment, but is not at its end; compared by identity."""


@dataclass(frozen=True)
class Kept:
    """The row is kept, with these columns added."""

    added: Row


@dataclass(frozen=True)
class Filtered:
    """The row is sound but not wanted, for a named reason."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Dead:
    """The row could not be processed, for a named reason; ``avcurate retry`` processes it again.

    ``trace`` is a traceback, where the program itself is at fault.
    """

    reason: str
    message: str
    hint: str = ""
    setting: str | None = None
    trace: str | None = None


Outcome = Kept | Filtered | Dead


class WorkLog(Protocol):
    """Where a stage keeps finished pieces of a row, so that a crash does not lose them."""

    def get(self, row_id: str, witness: str = "") -> dict[str, Any]:
        """Finished pieces of a row, by key: confirmed ones, and those of ``witness``."""

    def put(self, row_id: str, key: str, value: Any, witness: str = "") -> None:
        """Record one finished piece, to be confirmed by a canary on ``witness``; empty: none is needed."""

    def confirm(self, witness: str) -> None:
        """Confirm all pieces of this witness."""


class NoLog:
    """A work log that keeps nothing."""

    def get(self, row_id: str, witness: str = "") -> dict[str, Any]:
        """Always empty."""
        return {}

    def put(self, row_id: str, key: str, value: Any, witness: str = "") -> None:
        """Discard it."""

    def confirm(self, witness: str) -> None:
        """Do nothing."""


class BaseStage(ABC):
    """What all stages declare.

    ``name`` names the output table; ``version`` changes when the same input would give another output; ``adds`` is the
    Arrow schema of the columns it adds; ``key`` is the column that names a row. A ``cheap`` stage is redone without
    asking when its settings change.
    """

    name: str
    version: int
    adds: pa.Schema
    key: str = "question_id"
    key_type: pa.DataType = pa.string()
    cheap: bool = False

    def row_id(self, row: Row) -> str:
        """What names a row: the column ``key``."""
        return str(row[self.key])

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What the output depends on besides the rows: models, seeds, thresholds. JSON-serialisable."""

    def preflight(self) -> None:  # noqa: B027
        """Find out what is missing before the first stage runs; loads nothing large.

        Raises:
            UserError: a package, model or server this stage needs is missing.
        """

    def fingerprint(self) -> str:
        """Short hash of name, version and identity; a change of it makes stored output stale."""
        body = json.dumps([SCHEMA_VERSION, self.name, self.version, self.identity()], sort_keys=True, default=str)
        return hashlib.sha256(body.encode()).hexdigest()[:16]


class Stage(BaseStage):
    """One step of a pipeline, row by row."""

    streams: bool = False
    """Whether :meth:`process` goes on with what is in flight when its rows say ``NOT_NOW``, instead of waiting."""
    credit: int = 32
    """Rows that a process away from the runner is given at a time, so that it never waits for more."""
    journals_outcomes: bool = True
    """Whether the runner journals each kept row as it finishes; false where the stage journals smaller pieces."""

    def setup(self) -> None:
        """Load models; called once per worker, before the first row."""

    @abstractmethod
    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """One ``(row_id, outcome)`` per row, in any order; rows are pulled as they are needed."""

    def provenance(self) -> dict[str, Any]:
        """What really answered, known after :meth:`setup`, e.g. a server's own report of its model."""
        return {}

    def pulse(self) -> str:
        """How busy the stage's engine is, in a few words; empty: it has none, or does not know."""
        return ""

    def busy(self) -> float | None:
        """Share of the time in which the stage's engine had something to do; ``None``: not known."""
        return None

    def spent(self) -> float:
        """Seconds in which the stage's engine had something to do; 0: it has none, or does not know."""
        return 0.0

    def decide(self, measure: bool) -> dict[str, Any]:
        """What is settled once for a whole run, before its first row: recorded, and given to :meth:`recall` later.

        Args:
            measure: whether the stage is set up in this process and may try things.
        """
        return {}

    def recall(self, decided: dict[str, Any]) -> None:
        """Keep to what an earlier session of the run, or this one, decided."""

    def facts(self) -> dict[str, float]:
        """Values that stored output was made with whose change does not make all of it stale."""
        return {}

    def complete(self, row: Row) -> bool:
        """Whether a stored row is all that the stage would give now; checked where :meth:`facts` differ."""
        return True

    def pieces(self, row: Row) -> dict[str, Any]:
        """Finished pieces that an incomplete stored row holds, as :meth:`WorkLog.put` takes them."""
        return {}

    def files(self, row: Row) -> list[tuple[Path, str]]:
        """Files that a kept row depends on or produced, with their SHA-256; a row whose files changed is redone."""
        return []

    def close(self) -> None:
        """Free what :meth:`setup` took."""


class TableStage(BaseStage):
    """A step that needs no model and adds columns to a whole part at once; every row is kept."""

    cheap = True

    def prepare(self, upstream: Parts) -> None:
        """Read what a part's columns depend on in other parts; called before :meth:`fingerprint` and the first part."""

    @abstractmethod
    def table(self, rows: pa.Table) -> pa.Table:
        """The columns of ``adds`` for these rows, in their order."""

    def counts(self, added: pa.Table) -> dict[str, float]:
        """Totals of a part, stored in its commit record and summed over parts."""
        return {}


class WholeStage(BaseStage):
    """A step whose rows are not those of the stage before: it sees them all and gives rows of its own.

    ``by_records``: whether a row comes out the same from the records that it names (``row``, or ``records``) alone.
    """

    cheap = True
    by_records: bool = False

    @abstractmethod
    def process(self, rows: Iterator[pa.Table], tick: Tick) -> Iterator[tuple[Row, Outcome]]:
        """Its rows (with ``key``; ``row`` and ``media`` where they have them) and their outcomes."""


class Tick(Protocol):
    """Progress of a whole stage."""

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total`` are done."""


AnyStage = Stage | TableStage | WholeStage
