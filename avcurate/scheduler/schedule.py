"""Streams rows through an engine: looks ahead, journals what arrives, confirms it by canaries, passes rows on.

A response counts only when a canary before it and a canary after it have passed on the same process: until then it is
journaled as unconfirmed, and its row is not passed on.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from avcurate.engines.base import Engine, Failure, Reply, Request
from avcurate.engines.canary import check_hearing
from avcurate.engines.canary_clips import NotHearing
from avcurate.errors import RowError, UserError
from avcurate.runner.isolate import Isolation
from avcurate.runner.stage import NOT_NOW, Dead, Outcome, Row, WorkLog
from avcurate.scheduler.pulse import CANARY, CLIPS, COMMIT, ROWS, Pulse
from avcurate.scheduler.unit import Unit, parts_of

LOG = logging.getLogger("avcurate.scheduler")
RECHECK_EVERY = 64
AHEAD = 8
"""Rows looked at before their turn, where nothing is decoded for them."""
REST_S = 0.02


class Scheduler:
    """Asks an engine about rows.

    Args:
        engine: the model; set up by the caller, and checked with a canary.
        unit_of: a row's unit; called ahead of its turn, so that decoding begins.
        canary: whether answers must be confirmed: rows show media, and the engine perceives.
        interleaved: the layout the canary is shown in.
        ahead: how many rows' media are decoded before their turn; asked again and again, as the answer may change.
    """

    def __init__(
        self,
        engine: Engine,
        unit_of: Callable[[Row], Unit],
        *,
        canary: bool = True,
        interleaved: bool = False,
        ahead: Callable[[], int] = lambda: AHEAD,
    ) -> None:
        self.engine = engine
        self.unit_of = unit_of
        self.canary = canary and engine.perceives
        self.interleaved = interleaved
        self.ahead = ahead
        self.pulse = Pulse()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """One outcome per row, in the order rows finish and are confirmed.

        Raises:
            NotHearing: a canary failed during the run; rows answered since the last one are dead.
            UserError: the engine is lost; confirmed answers are journaled, and the message counts the others.
        """
        self.pulse = Pulse()
        flight = _Flight(self, rows, log)
        try:
            while True:
                for reply in self.engine.generate(flight):
                    flight.take_reply(reply)
                    if not self.canary or flight.unconfirmed >= RECHECK_EVERY:
                        yield from self._passed_on(flight)
                done = flight.exhausted
                # otherwise the engine ran dry only because finished rows wait to be passed on
                yield from self._passed_on(flight)
                if done:
                    LOG.info("%s, of %.1f s", self.pulse, self.pulse.whole)
                    return
                if flight.starved:
                    flight.rest()
        except NotHearing:
            raise
        except UserError as e:
            if not flight.unconfirmed:
                raise
            raise UserError(
                f"{e.message} {flight.unconfirmed} answers since the last canary are not confirmed and will be "
                "repeated, unless the same server process is still running then.",
                e.hint,
            ) from e

    def _passed_on(self, flight: _Flight) -> Iterator[tuple[str, Outcome]]:
        """Confirmed outcomes; while the caller journals and commits one, an engine of this process stands still."""
        for outcome in self._confirmed(flight):
            began = time.monotonic()
            yield outcome
            if not self.engine.answers_aside:
                self.pulse.waits[COMMIT] += time.monotonic() - began

    def _confirmed(self, flight: _Flight) -> Iterator[tuple[str, Outcome]]:
        if self.canary and flight.unconfirmed:
            try:
                with self.pulse.waiting(CANARY):
                    check_hearing(self.engine, self.interleaved)
            except NotHearing as e:
                for row_id in flight.unconfirmed_rows():
                    yield row_id, Dead("modality_not_delivered", e.message, e.hint)
                raise
            if self.engine.witness != flight.witness:
                raise UserError(
                    "the server was restarted since the last canary: its answers since then are not confirmed.",
                    "Run the same command again; only those are repeated.",
                )
        yield from flight.release()


class _Flight:
    """Where the engine takes requests from, and where its replies go."""

    def __init__(self, scheduler: Scheduler, rows: Iterator[Row], log: WorkLog) -> None:
        self._unit_of, self._limit = scheduler.unit_of, scheduler.ahead
        self._rows, self._log = rows, log
        self._isolation = Isolation()
        self.witness = scheduler.engine.witness if scheduler.canary else ""
        self.unconfirmed = 0
        self._ahead: deque[Unit] = deque()
        self._ready: deque[Request] = deque()
        self._active: dict[str, Unit] = {}
        self._in_flight: dict[str, Request] = {}
        self._asked: dict[str, set[str]] = {}
        self._dead: dict[str, Dead] = {}
        self._touched: set[str] = set()
        self._finished: list[tuple[str, Outcome]] = []
        self._ended = False
        self.starved = False
        self._pulse = scheduler.pulse

    @property
    def exhausted(self) -> bool:
        """Whether every row has been taken and answered."""
        return self._ended and not (self._ahead or self._ready or self._active)

    def rest(self) -> None:
        """Wait a moment for rows that are on their way."""
        with self._pulse.waiting(ROWS):
            time.sleep(REST_S)

    def take(self, wait: bool) -> Request | None:
        """The next request; with ``wait`` it blocks on decoding rather than return ``None``."""
        while not self._ready:
            # rows that need no model (dead, filtered, recalled) must be passed on as well
            if len(self._finished) > 4 * self._limit():
                return None
            self._look_ahead()
            if not self._ahead:
                return None
            waiting = self._ahead[0].waiting_for
            if not (wait or waiting is None or waiting.done()):
                return None
            began = time.monotonic()
            self._begin(self._ahead.popleft())
            if not self._in_flight:
                # nothing else was out: the engine stood still until this clip was decoded
                self._pulse.waits[CLIPS] += time.monotonic() - began
        request = self._ready.popleft()
        self._in_flight[request.key] = request
        return request

    def _look_ahead(self) -> None:
        while len(self._ahead) < self._limit() and not self._ended:
            row = next(self._rows, None)
            self.starved = row is NOT_NOW
            if row is None:
                self._ended = True
                return
            if row is NOT_NOW:
                return
            self._ahead.append(self._unit_of(row))

    def _begin(self, unit: Unit) -> None:
        try:
            outcome = unit.begin()
            if outcome is None:
                for key, piece in self._log.get(unit.row_id, self.witness).items():
                    unit.absorb(key, piece)
        except Exception as e:
            outcome = self._isolation.dead(e)
        if outcome is not None:
            self._finished.append((unit.row_id, outcome))
            return
        self._active[unit.row_id] = unit
        self._asked[unit.row_id] = set()
        self._advance(unit)

    def _advance(self, unit: Unit) -> None:
        """Queue what a row still needs, or finish it when nothing is needed or pending."""
        pending = self._asked[unit.row_id]
        if unit.row_id not in self._dead:
            try:
                for request in unit.requests():
                    pending.add(request.key)
                    self._ready.append(request)
            except Exception as e:
                self._dead[unit.row_id] = self._isolation.dead(e)
                self._withdraw(pending)
        if pending:
            return
        del self._active[unit.row_id], self._asked[unit.row_id]
        outcome: Outcome | None = self._dead.pop(unit.row_id, None)
        if outcome is None:
            try:
                outcome = unit.outcome()
                self._isolation.passed()
            except Exception as e:
                outcome = self._isolation.dead(e)
        self._finished.append((unit.row_id, outcome))

    def _withdraw(self, pending: set[str]) -> None:
        """Take back requests of a dead row that the engine has not taken."""
        waiting = {r.key for r in self._ready} & pending
        self._ready = deque(r for r in self._ready if r.key not in waiting)
        pending -= waiting

    def take_reply(self, reply: Reply | Failure) -> None:
        """Take one reply from the engine."""
        request = self._in_flight.pop(reply.key)
        row_id, name, _ = parts_of(reply.key)
        unit = self._active[row_id]
        self._asked[row_id].discard(reply.key)
        self.unconfirmed += 1
        self._touched.add(row_id)
        try:
            if isinstance(reply, Failure):
                raise RowError(reply.reason, reply.message, reply.hint)
            if len(reply.responses) != request.n:
                raise RowError(
                    "responses_missing",
                    f"{len(reply.responses)} of {request.n} responses came back.",
                    "Retry with `avcurate retry`; if it persists, the engine's version has a bug.",
                )
            key, piece = unit.accept(request, reply)
            self._log.put(row_id, key, piece, self.witness)
            unit.absorb(key, piece)
        except Exception as e:
            self._dead.setdefault(row_id, self._isolation.dead(e, name))
            self._withdraw(self._asked[row_id])
        self._advance(unit)

    def release(self) -> Iterator[tuple[str, Outcome]]:
        """Confirm what was answered since the last canary, and pass finished rows on."""
        self.unconfirmed = 0
        self._touched.clear()
        if self.witness:
            self._log.confirm(self.witness)
        done, self._finished = self._finished, []
        yield from done

    def unconfirmed_rows(self) -> list[str]:
        """Rows with answers since the last canary; rows that need no model are passed on as they are."""
        finished = {row_id for row_id, _ in self._finished}
        rows = [row_id for row_id in self._touched if row_id in self._active or row_id in finished]
        self._finished = [(i, o) for i, o in self._finished if i not in self._touched]
        return sorted(rows)
