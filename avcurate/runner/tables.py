"""Runs stages that see a whole part at once, and those that see all rows at once."""

from __future__ import annotations

import hashlib
import json
from itertools import islice

from avcurate.runner.execute import LostRows, Reproduce
from avcurate.runner.stage import Kept, Outcome, Row, TableStage, WholeStage
from avcurate.runner.tally import Tally, Watch, no_progress
from avcurate.store.parts import Commit, Parts, to_table

WHOLE_PART = 4096


def run_table(
    stage: TableStage, upstream: Parts, output: Parts, watch: Watch = no_progress
) -> tuple[Tally, dict[str, float]]:
    """Add a table stage's columns to every part; parts that have them already are kept.

    Returns:
        Counts, and the totals of :meth:`TableStage.counts`.
    """
    stage.prepare(upstream)
    tally, totals, fingerprint = Tally(), dict[str, float](), stage.fingerprint()
    commits = upstream.commits()
    for stale in {c.part for c in output.commits()} - {c.part for c in commits}:
        output.remove(stale)
    for commit in commits:
        tally.total += commit.kept
        digest, done = upstream.digest(commit), output.commit_of(commit.part)
        if done is None or done.fingerprint != fingerprint or done.upstream != digest:
            rows = upstream.read(commit.part)
            added = stage.table(rows)
            new = Commit(
                commit.part,
                commit.kept,
                commit.kept,
                {},
                {},
                digest,
                fingerprint,
                facts=stage.counts(added),
                reads=upstream.name,
                key=stage.key,
            )
            key = rows.schema.field(stage.key)
            done = output.write(new, {"kept": added.add_column(0, key, rows.column(stage.key))})
        else:
            output.verify(done)
        for name, n in done.facts.items():
            totals[name] = totals.get(name, 0) + n
        tally.add_commit(done)
        watch(tally, None, None)
    return tally, totals


def run_whole(
    stage: WholeStage, upstream: Parts, output: Parts, reproduce: Reproduce, watch: Watch = no_progress
) -> Tally:
    """Run a stage that sees all rows; where neither it nor its input has changed, its output is kept."""
    inputs = [upstream.digest(c) for c in upstream.commits()]
    body = json.dumps([stage.fingerprint(), inputs])
    fingerprint = hashlib.sha256(body.encode()).hexdigest()[:16]
    tally, commits = Tally(), output.commits()
    if commits and all(c.fingerprint == fingerprint for c in commits) and commits[-1].facts.get("last"):
        for commit in commits:
            output.verify(commit)
            tally.add_commit(commit)
        tally.total = tally.done
        return tally

    def tick(done: int, total: int) -> None:
        tally.done, tally.total = done, total
        watch(tally, None, None)

    outcomes = stage.process(upstream.rows(), tick)
    written = Tally()
    part, batch = 0, list(islice(outcomes, WHOLE_PART))
    while True:
        following = list(islice(outcomes, WHOLE_PART))
        written.add_commit(_write(stage, output, part, batch, fingerprint, reproduce, last=not following))
        if not following:
            break
        part, batch = part + 1, following
    for stale in output.commits()[part + 1 :]:
        output.remove(stale.part)
    written.total = written.done
    watch(written, None, None)
    return written


def _write(
    stage: WholeStage,
    output: Parts,
    part: int,
    batch: list[tuple[Row, Outcome]],
    fingerprint: str,
    reproduce: Reproduce,
    *,
    last: bool,
) -> Commit:
    kept: list[Row] = []
    lost = LostRows(stage, reproduce)
    for row, outcome in batch:
        if isinstance(outcome, Kept):
            kept.append(row | outcome.added)
        else:
            lost.add(stage.row_id(row), row, outcome, "")
    commit = Commit(
        part,
        len(batch),
        len(kept),
        lost.counts["filtered"],
        lost.counts["dead"],
        "",
        fingerprint,
        facts={"last": float(last)},
        key=stage.key,
    )
    return output.write(commit, {"kept": to_table(kept, stage.adds), **lost.tables()})
