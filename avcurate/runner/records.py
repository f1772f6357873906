"""A stage over the records of a file: one row each, bad ones dead, parts committed as they fill."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from avcurate.errors import RowError
from avcurate.runner.chain import settle
from avcurate.runner.execute import Tally, Watch, watch_nothing
from avcurate.runner.rundir import RunDir, check_unchanged
from avcurate.runner.stage import Row
from avcurate.schema import arrow_schema
from avcurate.sources.records import Record
from avcurate.store.parts import Commit, to_table

PART = 4096
Read = Callable[[list[Record]], list[Row | RowError]]


def run_records(
    run: RunDir,
    record: dict[str, Any],
    stage: str,
    identity: dict[str, Any],
    records: Iterator[Record],
    read: Read,
    watch: Watch = watch_nothing,
    *,
    force: bool = False,
    part_size: int = PART,
    reuse: bool = False,
) -> Tally:
    """Turn records into rows of the table ``stage``.

    ``read`` takes the good records of a part and returns a row, or what is wrong, for each; what it raises is
    everybody's error. With ``reuse`` a part without dead rows that is there already, made of the same inputs, is left
    as it is (not with ``force``): only for a ``read`` that remembers nothing from part to part.

    Raises:
        RecipeChanged: stored output was made from other inputs.
    """
    check_unchanged(record, stage, identity, force=force)
    record["stages"][stage] = {"identity": identity}
    run.save(record)
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    tally, output, part = Tally(), run.parts(stage), 0
    while batch := list(islice(records, part_size)):
        done = output.commit_of(part) if reuse and not force else None
        # what died is tried again: its cause may lie in files that the identity does not cover
        if done is not None and not done.dead and done.fingerprint == fingerprint and done.rows_in == len(batch):
            tally.add_commit(done)
            tally.total = tally.done
            part += 1
            continue
        good = [r for r in batch if r.value is not None]
        outcomes = dict(zip((id(r) for r in good), read(good), strict=True))
        kept: list[Row] = []
        dead: list[Row] = []
        for one in batch:
            found = outcomes.get(id(one)) or RowError(one.reason, one.message)
            if isinstance(found, RowError):
                dead.append(_letter(stage, one, found))
            else:
                kept.append(found)
        commit = output.write(
            Commit(part, len(batch), len(kept), {}, dict(Counter(d["reason"] for d in dead)), "", fingerprint),
            {"kept": to_table(kept, arrow_schema(stage)), "dead": to_table(dead, arrow_schema("dead"))},
        )
        tally.add_commit(commit)
        tally.total = tally.done
        watch(tally, None, None)
        part += 1
    for stale in output.commits()[part:]:
        output.remove(stale.part)
    settle(run, record, stage, tally)
    return tally


def _letter(stage: str, record: Record, e: RowError) -> Row:
    return {
        "row": record.row,
        "stage": stage,
        "reason": e.reason,
        "message": e.message,
        "hint": e.hint or "Mend the record and run the command again.",
        "attempt": 1,
        "reproduce": "run the command again once the input is mended",
        "input": record.raw or json.dumps(record.value, ensure_ascii=False, default=str),
    }
