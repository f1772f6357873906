"""Runs a stage on Ray: rows go to replicas by credit, events come back, and this process alone journals and commits.

A replica is a process that may die with its node at any moment. Its rows then go to another, with the pieces that it
finished; a row that takes three processes with it is dead.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from avcurate.errors import UserError
from avcurate.media.remote import cache_folder
from avcurate.runner.execute import StageRun
from avcurate.runner.ray.cluster import Ask, Room, connect, room_for, spread
from avcurate.runner.ray.replica import Event, Given, Replica
from avcurate.runner.stage import Dead, Row
from avcurate.runner.tally import Tally

LOG = logging.getLogger("avcurate.ray")
STRIKES = 3
"""Processes that a row may take with it before it is dead."""
DEATHS_IN_VAIN = 4
"""Replicas in a row that may die before a single row is finished."""
WAIT_S = 0.05
GOODBYE_S = 5.0
START_S = 600.0
"""Seconds that a process may take to be scheduled and to import what it needs."""


@dataclass
class _Live:
    """A replica as the driver sees it."""

    name: str
    handle: Any
    out: dict[str, Row] = field(default_factory=dict)
    ready: bool = False
    spoke: bool = False
    heard: float = field(default_factory=time.monotonic)
    done: int = 0
    where: dict[str, Any] = field(default_factory=dict)
    busy: float | None = None
    alone: bool = False
    """Whether it works on a single row under suspicion."""


def run_on_ray(work: StageRun, ask: Ask, answered_by: Callable[[dict[str, Any]], None] = lambda facts: None) -> Tally:
    """Process what is left of a stage on Ray.

    Args:
        work: the stage run; it keeps the counts.
        ask: the cluster, and what a replica takes of it.
        answered_by: called with what each replica says of its model.

    Raises:
        UserError: Ray is missing, the cluster has no room, a stage cannot work there, or replicas die in vain.
        TooManyDead: the share of dead rows passed the limit.
    """
    todo = work.plan()
    work.watch(work.tally, None, None)
    if not todo:
        return work.tally
    ray = connect(ask)
    rows = sum(c.kept for c in todo)
    room = room_for(ray.cluster_resources(), ask, rows)
    driver = _Driver(ray, work, ask, room, answered_by)
    try:
        driver.run(work.feed(todo))
        driver.finish()
    finally:
        work.journal.close()
        driver.close()
        work.replicas = driver.facts
    return work.tally


class _Driver:
    """Replicas, rows that wait, and rows that are out."""

    def __init__(
        self, ray: Any, work: StageRun, ask: Ask, room: Room, answered_by: Callable[[dict[str, Any]], None]
    ) -> None:
        self.ray, self.work, self.ask, self.room, self.answered_by = ray, work, ask, room, answered_by
        self.credit = max(2, work.stage.credit)
        work.pulse = self._pulse
        self.live: dict[Any, _Live] = {}
        self.returned: deque[Row] = deque()
        self.suspects: deque[Row] = deque()
        self.strikes: dict[str, int] = {}
        self.started, self.vain = 0, 0
        self.groups: list[Any] = []
        self.facts: list[dict[str, Any]] = []

    def run(self, rows: Iterator[Row]) -> None:
        """Give rows and take events until every row has an outcome."""
        for _ in range(self.room.replicas):
            self._start()
        exhausted = False
        while True:
            for live in sorted(self.live.values(), key=lambda r: len(r.out)):
                exhausted = self._top_up(live, rows, exhausted) or exhausted
            if exhausted and not (self.returned or self.suspects or any(r.out for r in self.live.values())):
                return
            ready, _ = self.ray.wait(list(self.live), num_returns=len(self.live), timeout=WAIT_S)
            for stream in ready:
                self._hear(stream)
            now = time.monotonic()
            # Ray takes about a minute to notice a node that has stopped without closing its connections
            for stream in [s for s, r in self.live.items() if now - r.heard > self._patience(r)]:
                self._lose(stream, f"gave no sign of life for {self._patience(self.live[stream]):.0f} s")

    def _patience(self, live: _Live) -> float:
        """Seconds without a sign of life after which a replica is given up; one that starts waits for a place first."""
        return self.ask.silent_s if live.spoke else max(self.ask.silent_s, START_S)

    def finish(self) -> None:
        """Let replicas say what they have left to say: how busy their engine was."""
        for live in self.live.values():
            live.handle.give.remote(None)
        until = time.monotonic() + GOODBYE_S
        streams = [s for s, live in self.live.items() if live.ready]
        while streams and time.monotonic() < until:
            ready, streams = self.ray.wait(streams, num_returns=len(streams), timeout=WAIT_S)
            for stream in ready:
                try:
                    events = self.ray.get(next(stream), timeout=GOODBYE_S)
                except (self.ray.exceptions.RayError, StopIteration):
                    continue
                for event in events:
                    if event[0] == "log":
                        self._take(self.live[stream], event)
                if events[-1][0] != "end":
                    streams.append(stream)

    def close(self) -> None:
        """End all replicas."""
        for live in self.live.values():
            self.facts.append(_facts(live))
            self.ray.kill(live.handle)
        self.live.clear()
        for group in self.groups:
            self.ray.util.remove_placement_group(group)

    def _start(self) -> None:
        name = f"{self.work.stage.name}[{self.started}]"
        self.started += 1
        options = self.room.options | spread(self.ray, self.room)
        if strategy := options.get("scheduling_strategy"):
            self.groups.append(strategy.placement_group)
        # never restarted or retried by Ray: see Replica
        # clips behind an address lie under one path everywhere
        environment = {"env_vars": {"AVCURATE_MEDIA_CACHE": str(cache_folder().absolute())}}
        make = self.ray.remote(
            max_restarts=0, max_task_retries=0, max_concurrency=4, runtime_env=environment, **options
        )(Replica)
        handle = make.remote(self.work.stage, name)
        stream = handle.events.options(num_returns="streaming").remote()
        self.live[stream] = _Live(name, handle)

    def _top_up(self, live: _Live, rows: Iterator[Row], exhausted: bool) -> bool:
        """Give a replica rows up to its credit; returns whether the input has no more."""
        if not live.ready or live.alone:
            return exhausted
        if self.suspects and not live.out:
            live.alone = True
            self._give(live, [self.suspects.popleft()])
            return exhausted
        # a stage that waits for its rows gets them in lists worth a batch
        if live.out and not self.work.stage.streams and len(live.out) > self.credit // 2:
            return exhausted
        batch = list[Row]()
        while len(live.out) + len(batch) < self.credit:
            if self.returned:
                batch.append(self.returned.popleft())
                continue
            row: Row | None = None if exhausted else next(rows, None)
            if row is None:
                exhausted = True
                break
            batch.append(row)
        if batch:
            self._give(live, batch)
        return exhausted

    def _give(self, live: _Live, rows: list[Row]) -> None:
        row_id = self.work.stage.row_id
        given: list[Given] = [(row, self.work.journal.pieces(row_id(row))) for row in rows]
        live.out |= {row_id(row): row for row in rows}
        live.handle.give.remote(given)

    def _hear(self, stream: Any) -> None:
        try:
            events = self.ray.get(next(stream), timeout=self.ask.silent_s)
        except (self.ray.exceptions.RayError, StopIteration) as e:
            self._lose(stream, " ".join(str(e).split())[:200] or "ended")
            return
        live = self.live[stream]
        live.heard, live.spoke = time.monotonic(), True
        for event in events:
            self._take(live, event)

    def _take(self, live: _Live, event: Event) -> None:
        kind, *what = event
        if kind == "ready":
            live.ready, live.where = True, what[1]
            self.answered_by(what[0])
        elif kind == "piece" and what[0] in live.out:
            self.work.journal.put(*what)
        elif kind == "confirm":
            self.work.journal.confirm(what[0])
        elif kind == "done" and live.out.pop(what[0], None) is not None:
            # only a row that is out here counts: one that was given to another meanwhile is that one's
            live.alone, self.vain = False, 0
            live.done += 1
            self.strikes.pop(what[0], None)
            self.work.record_outcome(*what)
        elif kind == "log":
            name, level, message = what
            logging.getLogger(name).log(level, "%s: %s", live.name, message)
        elif kind == "busy":
            live.busy = what[0]
        elif kind == "error":
            raise UserError(*what)
        elif kind == "fault":
            raise what[0]

    def _pulse(self) -> str:
        """How busy the replicas' engines are: on average, and the least and most."""
        shares = [live.busy for live in self.live.values() if live.busy is not None]
        if not shares:
            return ""
        spread = f" ({min(shares):.0%} to {max(shares):.0%})" if len(shares) > 1 else ""
        return f"{len(shares)} engine{'s' * (len(shares) > 1)} busy {sum(shares) / len(shares):.0%}{spread}"

    def _lose(self, stream: Any, why: str) -> None:
        """Give up a replica: its rows go to others, and another takes its place."""
        live = self.live.pop(stream)
        # it may live behind a lost connection, and hold a GPU
        self.ray.kill(live.handle)
        LOG.warning("%s was lost with %d rows out: %s", live.name, len(live.out), why)
        self.facts.append(_facts(live, why))
        self.vain += 1
        if self.vain > DEATHS_IN_VAIN + len(self.live):
            raise UserError(
                f"{self.vain} replicas died in a row before a row was finished; the last: {why}",
                "Look at Ray's logs for that process; finished rows are kept, and the same command goes on.",
            )
        for row_id, row in reversed(live.out.items()):
            self.strikes[row_id] = self.strikes.get(row_id, 0) + 1
            if self.strikes[row_id] >= STRIKES:
                del self.strikes[row_id]
                self.vain = 0
                message = f"{STRIKES} processes died while they worked on this row, the last with it alone."
                self.work.record_outcome(row_id, Dead("kills_its_process", message))
            elif self.strikes[row_id] == STRIKES - 1:
                # which of the rows that were out is to blame is found out by trying each alone
                self.suspects.appendleft(row)
            else:
                self.returned.appendleft(row)
        self._start()


def _facts(live: _Live, lost: str = "") -> dict[str, Any]:
    """What ``run.json`` says about a replica."""
    return {"name": live.name, **live.where, "rows": live.done} | ({"lost": lost} if lost else {})
