"""Runs one stage over all parts of the stage before it.

Rows stream through the stage across part borders, so that an engine never waits for a part to
finish; a part is committed as soon as its last row is answered. What is already committed from the
same input by the same stage is kept, row by row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from avcurate.errors import TooManyDead
from avcurate.runner.stage import Dead, Filtered, Kept, Outcome, Row, Stage
from avcurate.schema import DEAD, FILTERED, arrow_schema
from avcurate.store.journal import Journal
from avcurate.store.parts import Commit, Parts, to_table

MIN_ROWS_BEFORE_STOP = 20
Reproduce = Callable[[str, str], str]


@dataclass
class Tally:
    """Counts of one stage so far, over finished and running parts."""

    total: int = 0
    done: int = 0
    kept: int = 0
    filtered: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.done += 1
        if isinstance(outcome, Kept):
            self.kept += 1
        else:
            counts = self.filtered if isinstance(outcome, Filtered) else self.dead
            counts[outcome.reason] = counts.get(outcome.reason, 0) + 1

    def add_commit(self, commit: Commit) -> None:
        """Count a part that was finished before."""
        self.done += commit.rows_in
        self.kept += commit.kept
        for mine, theirs in ((self.filtered, commit.filtered), (self.dead, commit.dead)):
            for reason, n in theirs.items():
                mine[reason] = mine.get(reason, 0) + n


@dataclass(frozen=True)
class Options:
    """How a stage is run."""

    retry_dead: bool = False
    retry_reasons: frozenset[str] = frozenset()
    fail_on_dead: float | None = None
    reproduce: Reproduce = lambda stage, row_id: ""


Watch = Callable[[Tally, Outcome | None, Row | None], None]


def watch_nothing(tally: Tally, outcome: Outcome | None, row: Row | None) -> None:
    """The default watcher."""


@dataclass
class _Open:
    """A part whose rows are in flight."""

    rows: dict[str, Row]
    upstream: str
    outcomes: dict[str, Outcome]
    attempts: dict[str, int]

    @property
    def complete(self) -> bool:
        return len(self.outcomes) == len(self.rows)


class StageRun:
    """One stage over one run directory; :meth:`run` is called once."""

    def __init__(
        self, stage: Stage, upstream: Parts, output: Parts, options: Options, watch: Watch = watch_nothing
    ) -> None:
        self.stage = stage
        self.upstream = upstream
        self.output = output
        self.options = options
        self.watch = watch
        self.tally = Tally()
        self.journal = Journal(output.root, stage.name, stage.fingerprint())
        self._open: dict[int, _Open] = {}
        self._part_of: dict[str, int] = {}

    def plan(self) -> list[Commit]:
        """Upstream parts that still have work, after counting those that have none."""
        todo = []
        upstream = self.upstream.commits()
        # an input that shrank leaves parts of rows that are no longer asked for
        for stale in {c.part for c in self.output.commits()} - {c.part for c in upstream}:
            self.output.remove(stale)
        for commit in upstream:
            self.tally.total += commit.kept
            done = self.output.commit_of(commit.part)
            if done is not None and self._current(done, commit) and not self._wanted_again(done):
                self.tally.add_commit(done)
            else:
                todo.append(commit)
        return todo

    def _current(self, done: Commit, upstream: Commit) -> bool:
        return (
            done.fingerprint == self.stage.fingerprint()
            and done.upstream == self.upstream.digest(upstream)
            and done.facts == self.stage.facts()
        )

    def _wanted_again(self, done: Commit) -> bool:
        if not self.options.retry_dead:
            return False
        reasons = self.options.retry_reasons
        return any(n and (not reasons or r in reasons) for r, n in done.dead.items())

    def run(self) -> Tally:
        """Process what is left.

        Raises:
            TooManyDead: the share of dead rows passed the limit; finished parts are kept.
        """
        todo = self.plan()
        self.watch(self.tally, None, None)
        if todo:
            self.stage.setup()
            try:
                for row_id, outcome in self.stage.process(self.feed(todo), self.journal):
                    self.settle(row_id, outcome)
            finally:
                self.journal.close()
                self.stage.close()
            if self._open:
                missing = sum(len(o.rows) - len(o.outcomes) for o in self._open.values())
                raise RuntimeError(f"stage {self.stage.name} gave no outcome for {missing} rows")
        return self.tally

    def feed(self, todo: list[Commit]) -> Iterator[Row]:
        """Rows that need work, one after the other over part borders, read only when they are asked for."""
        for rows in self.parts_to_do(todo):
            yield from rows

    def parts_to_do(self, todo: list[Commit]) -> Iterator[list[Row]]:
        """Rows that need work, a list for each part; a part with none left is committed at once."""
        for commit in todo:
            rows = {self.stage.row_id(r): r for r in self.upstream.read(commit.part).to_pylist()}
            opened = _Open(rows, self.upstream.digest(commit), {}, {})
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
        """Take over outcomes of an earlier commit for rows that have not changed."""
        done = self.output.commit_of(part)
        if done is None or done.fingerprint != self.stage.fingerprint():
            return
        held = {k: self._stored(part, done, k) for k in ("kept", "filtered", "dead")}
        for row in held["kept"]:
            before = opened.rows.get(self.stage.row_id(row))
            if before is None or any(row[c] != v for c, v in before.items()):
                continue
            if not self.stage.complete(row):
                self.journal.hold(self.stage.row_id(row), self.stage.pieces(row))
            else:
                opened.outcomes[self.stage.row_id(row)] = Kept({c: v for c, v in row.items() if c not in before})
        for kind in ("filtered", "dead"):
            for row in held[kind]:
                before = opened.rows.get(row["row_id"])
                if before is None or json.loads(row["input"]) != _plain(before):
                    continue
                if kind == "filtered":
                    opened.outcomes[row["row_id"]] = Filtered(row["reason"], row["message"])
                    continue
                reasons = self.options.retry_reasons
                if self.options.retry_dead and (not reasons or row["reason"] in reasons):
                    opened.attempts[row["row_id"]] = row["attempt"] + 1
                else:
                    opened.attempts[row["row_id"]] = row["attempt"]
                    opened.outcomes[row["row_id"]] = Dead(row["reason"], row["message"], row["hint"], row["setting"])

    def _stored(self, part: int, done: Commit, kind: str) -> list[Row]:
        name = str(self.output.file(part, kind).relative_to(self.output.root))
        rows: list[Row] = self.output.read(part, kind).to_pylist() if name in done.files else []
        return rows

    def settle(self, row_id: str, outcome: Outcome) -> None:
        """Take one outcome; commit its part when it was the last."""
        part = self._part_of.pop(row_id)
        opened = self._open[part]
        opened.outcomes[row_id] = outcome
        self.tally.add(outcome)
        self.watch(self.tally, outcome, opened.rows[row_id])
        if opened.complete:
            self._commit(part)
            self._stop_if_going_wrong()

    def _commit(self, part: int) -> None:
        opened = self._open.pop(part)
        kept, filtered, dead = [], [], []
        counts: dict[str, dict[str, int]] = {"filtered": {}, "dead": {}}
        for row_id, row in opened.rows.items():
            outcome = opened.outcomes[row_id]
            if isinstance(outcome, Kept):
                kept.append({**row, **outcome.added})
                continue
            kind = "filtered" if isinstance(outcome, Filtered) else "dead"
            counts[kind][outcome.reason] = counts[kind].get(outcome.reason, 0) + 1
            if isinstance(outcome, Filtered):
                filtered.append(self._note(row, outcome))
            else:
                dead.append(self._letter(row, outcome, opened.attempts.get(row_id, 1)))
        commit = Commit(
            part,
            len(opened.rows),
            len(kept),
            counts["filtered"],
            counts["dead"],
            opened.upstream,
            self.stage.fingerprint(),
            facts=self.stage.facts(),
        )
        tables = {
            "kept": to_table(kept, self.stage.output),
            "filtered": to_table(filtered, arrow_schema("filtered")),
            "dead": to_table(dead, arrow_schema("dead")),
        }
        self.output.write(commit, tables)
        self.journal.close_part(part, list(opened.rows))

    def _note(self, row: Row, outcome: Filtered) -> Row:
        note = {c.name: row.get(c.name) for c in FILTERED}
        return note | {
            "row_id": self.stage.row_id(row),
            "stage": self.stage.name,
            "reason": outcome.reason,
            "message": outcome.message,
            "input": json.dumps(_plain(row), ensure_ascii=False),
        }

    def _letter(self, row: Row, outcome: Dead, attempt: int) -> Row:
        letter = {c.name: row.get(c.name) for c in DEAD}
        return letter | {
            "row_id": self.stage.row_id(row),
            "stage": self.stage.name,
            "setting": outcome.setting,
            "reason": outcome.reason,
            "message": outcome.message,
            "hint": outcome.hint,
            "attempt": attempt,
            "reproduce": self.options.reproduce(self.stage.name, self.stage.row_id(row)),
            "input": json.dumps(_plain(row), ensure_ascii=False),
        }

    def _stop_if_going_wrong(self) -> None:
        limit = self.options.fail_on_dead
        dead = sum(self.tally.dead.values())
        if limit is not None and self.tally.done >= MIN_ROWS_BEFORE_STOP and dead > limit * self.tally.done:
            worst = max(self.tally.dead, key=lambda r: self.tally.dead[r])
            raise TooManyDead(
                f"{dead} of {self.tally.done} rows died in {self.stage.name}, most with {worst!r}; "
                f"the limit is {limit:.0%}.",
                "Look at them with `avcurate status RUN --dead`, mend the cause, then run again: "
                "finished parts are kept.",
            )


def _plain(row: Row) -> Row:
    """The row as JSON would read it back."""
    plain: Row = json.loads(json.dumps(row))
    return plain
