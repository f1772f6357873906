"""Runs one stage over all parts of its upstream table.

Rows stream through the stage across part boundaries, so that an engine never waits for a part to finish; a part is
committed as soon as its last row has an outcome. What is already committed from the same input by the same stage is
kept, row by row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from avcurate.errors import TooManyDead
from avcurate.runner.stage import BaseStage, Dead, Filtered, Kept, Outcome, Row, Stage
from avcurate.runner.tally import Tally, Watch, no_progress
from avcurate.schema import DEAD, FILTERED, arrow_schema
from avcurate.store.digest import intact
from avcurate.store.journal import Journal
from avcurate.store.parts import ROW_DIGEST, Commit, Parts, digest_of, to_table

MIN_ROWS_BEFORE_STOP = 20
OUTCOME = "outcome"
FIX = "Fix its input, then process it again with `avcurate retry RUN`."
Reproduce = Callable[[str | None, Sequence[int]], str]
"""The command that processes a row alone, from its id, if it has one, and the numbers of its records."""
"""(row id, or record number where a row never got an id) to the command that processes it alone."""


@dataclass(frozen=True)
class Options:
    """How a stage is run."""

    retry_dead: bool = False
    retry_reasons: frozenset[str] = frozenset()
    fail_on_dead: float | None = None
    reproduce: Reproduce = lambda row_id, records: ""


@dataclass
class _Open:
    """A part whose rows are in flight."""

    rows: dict[str, Row]
    digests: dict[str, str]
    upstream: str
    outcomes: dict[str, Outcome]
    attempts: dict[str, int]

    @property
    def complete(self) -> bool:
        return len(self.outcomes) == len(self.rows)


class StageRun:
    """One stage over one run directory; :meth:`run` is called once."""

    def __init__(
        self, stage: Stage, upstream: Parts, output: Parts, options: Options, watch: Watch = no_progress
    ) -> None:
        self.stage = stage
        self.upstream = upstream
        self.output = output
        self.options = options
        self.watch = watch
        self.tally = Tally()
        self.replicas: list[dict[str, Any]] = []
        self.pulse: Callable[[], str] = stage.pulse
        """How busy engines are, in a few words; a driver of several asks them all."""
        self.journal = Journal(output.root, stage.name, self.fingerprint)
        self._open: dict[int, _Open] = {}
        self._part_of: dict[str, int] = {}

    @cached_property
    def fingerprint(self) -> str:
        """The stage's, computed once: an identity may hash a whole checkpoint."""
        return self.stage.fingerprint()

    def plan(self) -> list[Commit]:
        """Upstream parts that still have work, after counting those that have none.

        Raises:
            UserError: a finished part is damaged.
        """
        todo = []
        upstream = self.upstream.commits()
        # an input that shrank leaves parts whose rows are gone
        for stale in {c.part for c in self.output.commits()} - {c.part for c in upstream}:
            self.output.remove(stale)
        for commit in upstream:
            self.tally.total += commit.kept
            done = self.output.commit_of(commit.part)
            if done is not None and self._current(done, commit) and not self._to_retry(done):
                self.output.verify(done)
                if not self._files_intact(done):
                    todo.append(commit)
                    continue
                self.tally.add_commit(done)
            else:
                todo.append(commit)
        self.journal.keep_only({c.part for c in todo})
        return todo

    def _current(self, done: Commit, upstream: Commit) -> bool:
        return (
            done.fingerprint == self.fingerprint
            and done.upstream == self.upstream.digest(upstream)
            and done.facts == self.stage.facts()
        )

    def _files_intact(self, done: Commit) -> bool:
        if type(self.stage).files is Stage.files or not done.kept:
            return True
        rows = self.output.read(done.part).to_pylist()
        return all(intact(path, digest) for row in rows for path, digest in self.stage.files(row))

    def _to_retry(self, done: Commit) -> bool:
        if not self.options.retry_dead:
            return False
        reasons = self.options.retry_reasons
        return any(n and (not reasons or r in reasons) for r, n in done.dead.items())

    def run(self, started: Callable[[], None] = lambda: None) -> Tally:
        """Process what is left; ``started`` is called when the stage is set up, if it has work.

        Raises:
            TooManyDead: the share of dead rows passed the limit; finished parts are kept.
        """
        todo = self.plan()
        self.watch(self.tally, None, None)
        if todo:
            try:
                self.stage.setup()
                started()
                for row_id, outcome in self.stage.process(self.feed(todo), self.journal):
                    self.record_outcome(row_id, outcome)
            finally:
                self.journal.close()
                self.stage.close()
            if self._open:
                missing = sum(len(o.rows) - len(o.outcomes) for o in self._open.values())
                raise RuntimeError(f"stage {self.stage.name} gave no outcome for {missing} rows")
        return self.tally

    def feed(self, todo: list[Commit]) -> Iterator[Row]:
        """Rows that need work, one after the other across part boundaries, read only when needed."""
        for rows in self.parts_to_do(todo):
            yield from rows

    def parts_to_do(self, todo: list[Commit]) -> Iterator[list[Row]]:
        """Rows that need work, a list for each part; a part with none left is committed at once."""
        for commit in todo:
            rows = {self.stage.row_id(r): r for r in self.upstream.read(commit.part).to_pylist()}
            digests = dict(zip(rows, self.upstream.row_digests(commit.part), strict=True))
            opened = _Open(rows, digests, self.upstream.digest(commit), {}, {})
            self.journal.open_part(commit.part, list(rows))
            self._reuse(commit.part, opened)
            self._open[commit.part] = opened
            pending = [i for i in rows if i not in opened.outcomes]
            for row_id in pending:
                self._part_of[row_id] = commit.part
            for outcome in opened.outcomes.values():
                self.tally.add(outcome)
            if not pending:
                self._commit(commit.part)
            else:
                yield [rows[row_id] for row_id in pending]

    def _reuse(self, part: int, opened: _Open) -> None:
        """Reuse outcomes of rows that have not changed: journaled ones, and those of an earlier commit."""
        if self.stage.journals_outcomes:
            for row_id, digest in opened.digests.items():
                journaled = self.journal.get(row_id).get(OUTCOME)
                if journaled is not None and journaled["input"] == digest:
                    opened.outcomes[row_id] = Kept(journaled["added"])
        done = self.output.commit_of(part)
        if done is None or done.fingerprint != self.fingerprint:
            return
        added = self.stage.adds.names
        for row in self._stored(part, done, "kept", [self.stage.key, ROW_DIGEST, *added]):
            row_id, stored = self.stage.row_id(row), {c: row[c] for c in added}
            before = opened.digests.get(row_id)
            if row_id in opened.outcomes or before is None or digest_of(before, stored) != row[ROW_DIGEST]:
                continue
            whole = opened.rows[row_id] | stored
            if not all(intact(path, digest) for path, digest in self.stage.files(whole)):
                continue
            if self.stage.complete(whole):
                opened.outcomes[row_id] = Kept(stored)
            else:
                self.journal.hold(row_id, self.stage.pieces(whole))
        for kind in ("filtered", "dead"):
            for row in self._stored(part, done, kind, None):
                row_id = row["row_id"]
                if row_id not in opened.rows or row["input_digest"] != opened.digests[row_id]:
                    continue
                if kind == "filtered":
                    opened.outcomes[row_id] = Filtered(row["reason"], row["message"])
                    continue
                reasons = self.options.retry_reasons
                if self.options.retry_dead and (not reasons or row["reason"] in reasons):
                    opened.attempts[row_id] = row["attempt"] + 1
                else:
                    opened.attempts[row_id] = row["attempt"]
                    opened.outcomes[row_id] = Dead(
                        row["reason"], row["message"], row["hint"], row["setting"], row["trace"]
                    )

    def _stored(self, part: int, done: Commit, kind: str, columns: list[str] | None) -> list[Row]:
        name = self.output.file(part, kind).relative_to(self.output.root).as_posix()
        rows: list[Row] = self.output.read(part, kind, columns).to_pylist() if name in done.files else []
        return rows

    def record_outcome(self, row_id: str, outcome: Outcome) -> None:
        """Record one outcome; commit its part when it was the last."""
        part = self._part_of.pop(row_id)
        opened = self._open[part]
        opened.outcomes[row_id] = outcome
        if self.stage.journals_outcomes and isinstance(outcome, Kept) and not opened.complete:
            self.journal.put(row_id, OUTCOME, {"input": opened.digests[row_id], "added": outcome.added})
        self.tally.add(outcome)
        self.tally.pulse = self.pulse()
        self.watch(self.tally, outcome, opened.rows[row_id])
        if opened.complete:
            self._commit(part)
            self._stop_if_too_many_dead()

    def _commit(self, part: int) -> None:
        opened = self._open.pop(part)
        kept: list[Row] = []
        lost = LostRows(self.stage, self.options.reproduce)
        for row_id, row in opened.rows.items():
            outcome = opened.outcomes[row_id]
            if isinstance(outcome, Kept):
                kept.append({**outcome.added, self.stage.key: row[self.stage.key]})
            else:
                lost.add(row_id, row, outcome, opened.digests[row_id], opened.attempts.get(row_id, 1))
        commit = Commit(
            part,
            len(opened.rows),
            len(kept),
            lost.counts["filtered"],
            lost.counts["dead"],
            opened.upstream,
            self.fingerprint,
            facts=self.stage.facts(),
            reads=self.upstream.name,
            key=self.stage.key,
        )
        table = with_digests(kept, self.stage, [opened.digests[str(r[self.stage.key])] for r in kept])
        self.output.write(commit, {"kept": table, **lost.tables()})
        self.journal.close_part(part, list(opened.rows))

    def _stop_if_too_many_dead(self) -> None:
        limit = self.options.fail_on_dead
        dead = sum(self.tally.dead.values())
        if limit is not None and self.tally.done >= MIN_ROWS_BEFORE_STOP and dead > limit * self.tally.done:
            raise too_many_dead(self.stage.name, self.tally, limit)


def too_many_dead(stage: str, tally: Tally, limit: float) -> TooManyDead:
    """The error of a stage whose dead rows are more than the limit allows."""
    worst = max(tally.dead, key=lambda r: tally.dead[r])
    return TooManyDead(
        f"{sum(tally.dead.values())} of {tally.done} rows died in {stage}, most with {worst!r}; "
        f"the limit is {limit:.0%}.",
        "Look at them with `avcurate status RUN --dead`, fix the cause, then run again: finished parts are kept.",
    )


def with_digests(rows: list[Row], stage: BaseStage, before: list[str]) -> pa.Table:
    """Kept rows as a part stores them: key, digest of the whole row, and the columns the stage adds."""
    schema = pa.schema([pa.field(stage.key, stage.key_type), *stage.adds], metadata=stage.adds.metadata)
    table = to_table(rows, schema)
    added = stage.adds.names
    # of the values as read back: a float32 column does not return exactly what was put in
    digests = [digest_of(b, {c: row[c] for c in added}) for b, row in zip(before, table.to_pylist(), strict=True)]
    return table.add_column(1, pa.field(ROW_DIGEST, pa.string()), pa.array(digests, pa.string()))


def records_of(row: Row) -> list[int]:
    """Numbers of the input's records that a row was made from, as far as it says."""
    numbers = row.get("records") or [row.get("row")]
    return [n for n in numbers if n is not None]


class LostRows:
    """Filtered and dead rows of one part, as tables.

    Args:
        stage: where they were lost.
        reproduce: the command that processes a row alone.
    """

    def __init__(self, stage: BaseStage, reproduce: Reproduce) -> None:
        self._stage, self._reproduce = stage, reproduce
        self._rows: dict[str, list[Row]] = {"filtered": [], "dead": []}
        self.counts: dict[str, dict[str, int]] = {"filtered": {}, "dead": {}}

    def add(self, row_id: str, row: Row, outcome: Filtered | Dead, digest: str, attempt: int = 1) -> None:
        """Record one row."""
        kind = "filtered" if isinstance(outcome, Filtered) else "dead"
        self.counts[kind][outcome.reason] = self.counts[kind].get(outcome.reason, 0) + 1
        columns = FILTERED if isinstance(outcome, Filtered) else DEAD
        record: Row = {c.name: row.get(c.name) for c in columns}
        record |= {
            "row_id": row_id,
            "stage": self._stage.name,
            "reason": outcome.reason,
            "message": outcome.message,
            "input": json.dumps(row, ensure_ascii=False, default=str),
            "input_digest": digest,
        }
        if isinstance(outcome, Dead):
            record |= {
                "setting": outcome.setting,
                "hint": outcome.hint or FIX,
                "attempt": attempt,
                "reproduce": self._reproduce(row_id, records_of(row)),
                "trace": outcome.trace,
            }
        self._rows[kind].append(record)

    def tables(self) -> dict[str, pa.Table]:
        """``filtered`` and ``dead``."""
        return {kind: to_table(rows, arrow_schema(kind)) for kind, rows in self._rows.items()}
