"""One replica: a stage in a process of its own, fed rows, streaming back pieces and outcomes.

It writes nothing. What a stage journals goes to the driver as an event, in order, so that a replica that dies takes no
finished work with it and no disk need be shared. Must not be restarted by Ray: a restarted generator skips what it
already delivered by count, which loses rows where they finish in another order.
"""

from __future__ import annotations

import logging
import os
import platform
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from avcurate.errors import AvcurateError
from avcurate.runner.isolate import refuse_machine_errors
from avcurate.runner.stage import NOT_NOW, Row, Stage

LINGER_S = 0.1
ALIVE_EVERY_S = 1.0
COUNT_EVERY_S = 2.0
MOST_EVENTS = 64
"""Events sent together: small enough to travel inside the reply, not through the object store."""

Event = tuple[Any, ...]
Held = dict[str, tuple[Any, str]]
Given = tuple[Row, Held]


class ForwardingLog:
    """A work log whose pieces become events; it knows what the driver held of the rows given."""

    def __init__(self, emit: Any) -> None:
        self._emit = emit
        self._held: dict[str, Held] = {}

    def take(self, row_id: str, held: Held) -> None:
        """Remember what is known of a row: (value, witness) by key."""
        self._held[row_id] = dict(held)

    def forget(self, row_id: str) -> None:
        """The row is done."""
        self._held.pop(row_id, None)

    def get(self, row_id: str, witness: str = "") -> dict[str, Any]:
        """Pieces of this row that are done, by key: confirmed ones, and those of ``witness``."""
        held = self._held.get(row_id, {})
        return {key: value for key, (value, by) in held.items() if by in ("", witness)}

    def put(self, row_id: str, key: str, value: Any, witness: str = "") -> None:
        """Send one finished piece."""
        self._held.setdefault(row_id, {})[key] = (value, witness)
        self._emit(("piece", row_id, key, value, witness))

    def confirm(self, witness: str) -> None:
        """Send that a canary passed."""
        self._emit(("confirm", witness))


class Replica:
    """An actor. :meth:`events` is called once and lasts as long as the replica; the rest are short calls beside it.

    Events, in lists: ``("ready", provenance, where)``, ``("piece", row, key, value, witness)``, ``("confirm",
    witness)``, ``("done", row, outcome)``, ``("log", logger, level, message)``, ``("busy", share)``, ``("alive",)``,
    ``("error", message, hint)``: the user's or the machine's, ``("fault", error)``: the program's, ``("end",)``.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage, self.name = stage, name
        self._inbox: queue.SimpleQueue[list[Given] | None] = queue.SimpleQueue()
        self._out: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._log = ForwardingLog(self._out.put)

    def __repr__(self) -> str:
        """What Ray puts before its lines in logs."""
        return self.name

    def give(self, rows: list[Given] | None) -> None:
        """Rows to process; ``None``: there are no more."""
        self._inbox.put(rows)

    def events(self) -> Iterator[list[Event]]:
        """Everything that happens, until the end or an error."""
        threading.Thread(target=self._work, name="stage", daemon=True).start()
        spoke = counted = time.monotonic()
        while True:
            batch = self._gather()
            if time.monotonic() - counted > COUNT_EVERY_S and (busy := self.stage.busy()) is not None:
                counted = time.monotonic()
                batch.insert(0, ("busy", busy))
            if batch:
                spoke = time.monotonic()
                yield batch
                if batch[-1][0] in ("end", "error", "fault"):
                    return
            elif time.monotonic() - spoke > ALIVE_EVERY_S:
                spoke = time.monotonic()
                yield [("alive",)]

    def _gather(self) -> list[Event]:
        batch, until = list[Event](), time.monotonic() + LINGER_S
        while len(batch) < MOST_EVENTS and (left := until - time.monotonic()) > 0:
            try:
                batch.append(self._out.get(timeout=left))
            except queue.Empty:
                break
        return batch

    def _work(self) -> None:
        handler = _Forward(self._out.put)
        root = logging.getLogger("avcurate")
        root.addHandler(handler)
        root.setLevel(min(root.getEffectiveLevel(), logging.INFO))
        try:
            self.stage.setup()
            self._out.put(("ready", self.stage.provenance(), {"host": platform.node(), "process": os.getpid()}))
            for rows in [self._stream()] if self.stage.streams else self._batches():
                for row_id, outcome in self.stage.process(rows, self._log):
                    self._log.forget(row_id)
                    self._out.put(("done", row_id, outcome))
            self.stage.close()
            self._out.put(("end",))
        except BaseException as e:
            self._out.put(_problem(e))
        finally:
            root.removeHandler(handler)

    def _stream(self) -> Iterator[Row]:
        """Rows as they come; never waits, since rows in flight must go on."""
        while True:
            try:
                given = self._inbox.get_nowait()
            except queue.Empty:
                yield NOT_NOW
                continue
            if given is None:
                return
            yield from self._taken(given)

    def _batches(self) -> Iterator[Iterator[Row]]:
        """For a stage that waits for its rows: each list that was given, by itself."""
        while (given := self._inbox.get()) is not None:
            yield iter(self._taken(given))

    def _taken(self, given: list[Given]) -> list[Row]:
        for row, held in given:
            self._log.take(self.stage.row_id(row), held)
        return [row for row, _ in given]


class _Forward(logging.Handler):
    """Sends log lines to the driver."""

    def __init__(self, emit: Any) -> None:
        super().__init__(logging.INFO)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        self._emit(("log", record.name, record.levelno, record.getMessage()))


def _problem(e: BaseException) -> Event:
    """What stops the run: Ray would wrap the exception, and lose its message."""
    try:
        refuse_machine_errors(e)
    except AvcurateError as machine:
        return ("error", machine.message, machine.hint)
    if isinstance(e, AvcurateError):
        return ("error", e.message, e.hint)
    return ("fault", e)
