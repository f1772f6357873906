"""The columns of a run that are searched and filtered by, as Arrow tables: small ones, without the responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avcurate.runner.rundir import RunDir
from avcurate.store.parts import ROW_DIGEST, Commit, Parts

KEY, PART = "_key", "_part"
LOST = ("row_id", "row", "stage", "setting", "reason", "message", "hint", "media", "reproduce")
# long, or said better by another column
_LEFT_OUT = frozenset({ROW_DIGEST, "record", "picture_sha256", "media_sha256", "clip_sha256", "donor_sha256"})


def _light(kind: pa.DataType) -> bool:
    scalar = pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)
    words = pa.types.is_list(kind) and pa.types.is_string(kind.value_type)
    return bool(scalar or pa.types.is_floating(kind) or words)


@dataclass
class Tables:
    """Reads a run's parts once each, and again what is new.

    Attributes:
        run: the run.
        chain: the last table and those it was built on, first to last, as of the last :meth:`read`.
        key: column that names a row in the chain.
    """

    run: RunDir
    chain: list[str] = field(default_factory=list)
    key: str = ""
    _read: dict[tuple[str, str], pa.Table] = field(default_factory=dict)

    def version(self) -> tuple[Any, ...]:
        """Changes whenever a part is committed, redone or removed."""
        record = self.run.record()
        found = [(n, c.part, *c.files.values()) for n, p in self.run.tables(record).items() for c in p.commits()]
        return (record.get("updated"), *found)

    def read(self) -> tuple[list[pa.Table], pa.Table]:
        """Light columns of each table of the chain, each row once, and all filtered and dead rows.

        Returns:
            One table for each name in ``chain``, with ``_key`` (and ``_part`` in the first) and the columns that are
            new in it; and rows of ``LOST`` with ``state`` and ``of``: the table that they would have been in.
        """
        tables = {p.name: p for p in self.run.tables(self.run.record()).values()}
        commits = {name: parts.commits() for name, parts in tables.items()}
        self.chain, self.key = _chain(tables, commits)
        kept, seen = [], set[str]()
        for name in self.chain:
            pieces = [self._light(tables[name], c, sorted(seen)) for c in commits[name]]
            table = _joined([p for p in pieces if p is not None])
            seen |= set(table.column_names)
            kept.append(table)
        every = [(parts, c) for name, parts in tables.items() for c in commits[name]]
        lost = [self._lost(parts, c, kind) for parts, c in every for kind in ("filtered", "dead")]
        return kept, _joined([p for p in lost if p is not None])

    def _light(self, parts: Parts, commit: Commit, seen: list[str]) -> pa.Table | None:
        file = parts.file(commit.part)
        if (name := file.relative_to(parts.root).as_posix()) not in commit.files:
            return None

        def read() -> pa.Table:
            schema = pq.read_schema(file)
            names = [f.name for f in schema if _light(f.type) and f.name not in _LEFT_OUT]
            names = [n for n in names if n != self.key and n not in seen]
            table = pq.read_table(file, columns=[self.key, *names])
            table = table.rename_columns([KEY, *names]).replace_schema_metadata(None)
            table = table.set_column(0, KEY, table.column(0).cast(pa.string()))
            if "asked" in schema.names and "asked" not in seen:
                table = _with_results(table, pq.read_table(file, columns=["asked"]).column(0))
            # the first table's parts are those of every table built on it
            part = pa.repeat(pa.scalar(commit.part, pa.int32()), len(table))
            return table if seen else table.append_column(PART, part)

        return self._once(commit.files[name], f"{parts.name} {seen}", read)

    def _lost(self, parts: Parts, commit: Commit, kind: str) -> pa.Table | None:
        file = parts.file(commit.part, kind)
        if (name := file.relative_to(parts.root).as_posix()) not in commit.files:
            return None

        def read() -> pa.Table:
            names = [n for n in pq.read_schema(file).names if n in LOST]
            table = pq.read_table(file, columns=names).replace_schema_metadata(None)
            table = table.append_column("state", pa.repeat(pa.scalar(kind), len(table)))
            return table.append_column("of", pa.repeat(pa.scalar(parts.name), len(table)))

        return self._once(commit.files[name], name, read)

    def _once(self, digest: str, name: str, read: Any) -> pa.Table:
        if (digest, name) not in self._read:
            self._read[digest, name] = read()
        return self._read[digest, name]


def _with_results(table: pa.Table, asked: pa.ChunkedArray) -> pa.Table:
    """Columns of an evaluation: per condition the first answer and the share right; the ``result`` of the main one."""
    conditions, answers, correct = (_of_each(asked, n) for n in ("condition", "answers", "correct"))
    columns: dict[str, list[Any]] = {}
    results = []
    for i, names in enumerate(conditions):
        for j, name in enumerate(names):
            given, right = answers[i][j] or [None], correct[i][j] or []
            columns.setdefault(f"{name}_answer", [None] * len(table))[i] = given[0]
            share = sum(map(bool, right)) / len(right) if right else None
            columns.setdefault(f"{name}_right", [None] * len(table))[i] = share
        main = names.index("av") if "av" in names else 0
        first = (answers[i][main] or [None])[0] if names else None
        right = (correct[i][main] or [False])[0] if names else None
        results.append(None if not names else "unreadable" if first is None else "right" if right else "wrong")
    for name, values in columns.items():
        kind = pa.float64() if name.endswith("_right") else pa.string()
        table = table.append_column(name, pa.array(values, kind))
    return table.append_column("result", pa.array(results, pa.string()))


def _of_each(asked: pa.ChunkedArray, field: str) -> list[list[Any]]:
    column = asked.combine_chunks()
    values = pc.struct_field(pc.list_flatten(column), field)
    found: list[list[Any]] = [[] for _ in range(len(column))]
    for i, value in zip(pc.list_parent_indices(column).to_pylist(), values.to_pylist(), strict=True):
        found[i].append(value)
    return found


def _joined(pieces: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(pieces, promote_options="default") if pieces else pa.table({KEY: pa.array([], pa.string())})


def _chain(tables: dict[str, Parts], commits: dict[str, list[Commit]]) -> tuple[list[str], str]:
    """The tables that the last one with rows was built on, first to last, and the key that they share."""
    last = next((n for n in reversed(list(tables)) if commits[n]), "")
    chain, key = [last] if last else [], "question_id"
    while chain and (reads := commits[chain[0]][0].reads):
        chain.insert(0, reads)
    if chain:
        key = commits[chain[0]][0].key or key
    return chain, key
