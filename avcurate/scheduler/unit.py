"""One row while a model is asked about it: what is needed next, what came back, and the outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import Any

from avcurate.engines.base import Reply, Request
from avcurate.runner.stage import Dead, Filtered, Outcome, Row


class Unit(ABC):
    """One row in flight.

    Request keys are ``<row id>/<name>/<first>``; :func:`parts_of` splits them. A piece is what one reply gave,
    JSON-serialisable.
    """

    def __init__(self, row_id: str, row: Row) -> None:
        self.row_id = row_id
        self.row = row

    @property
    def waiting_for(self) -> Future[Any] | None:
        """What must finish before :meth:`begin`, e.g. decoding; ``None`` where nothing must."""
        return None

    @abstractmethod
    def begin(self) -> Filtered | Dead | None:
        """Look at the row and its media; an outcome where there is nothing to ask.

        Raises:
            RowError: the row is dead.
        """

    @abstractmethod
    def absorb(self, key: str, piece: Any) -> None:
        """Add a piece, from this process or an earlier one, by its journal key."""

    @abstractmethod
    def requests(self) -> list[Request]:
        """What is needed now and not in flight yet; called again after each reply. Empty: the row is done."""

    @abstractmethod
    def accept(self, request: Request, reply: Reply) -> tuple[str, Any]:
        """A reply as (journal key, piece).

        Raises:
            RowError: the reply fails token accounting.
        """

    @abstractmethod
    def outcome(self) -> Outcome:
        """The row's outcome, once nothing is needed and nothing is in flight."""


def key_of(row_id: str, name: str, first: int) -> str:
    """The key of a request."""
    return f"{row_id}/{name}/{first}"


def parts_of(key: str) -> tuple[str, str, int]:
    """(row id, name, first) of a request's key."""
    row_id, name, first = key.rsplit("/", 2)
    return row_id, name, int(first)
