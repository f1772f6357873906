"""A stage's output as numbered Parquet parts, each with a commit record.

A part holds the columns that its stage adds, and the row's key; a reader gets whole rows, assembled from the parts of
the stages before it. So nothing is stored twice.

A part is done when its commit record exists; the record is written last and holds the checksum of every file of the
part, and a digest of the part it was made from. Anything without a record is overwritten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avcurate.errors import UserError
from avcurate.store.atomic import sha256, write_atomic, write_json

ROW_GROUP = 4096
ROW_DIGEST = "_row"
"""Column that every kept part has: a digest of the whole row, by which a stage recognises a row it has seen before."""

_verified: set[tuple[str, str, int, int]] = set()


@dataclass(frozen=True)
class Commit:
    """What one finished part holds, and what it was made from.

    Attributes:
        reads: table whose rows this part's columns belong to; empty where the part holds whole rows.
        key: column that names a row in both.
    """

    part: int
    rows_in: int
    kept: int
    filtered: dict[str, int]
    dead: dict[str, int]
    upstream: str
    fingerprint: str
    files: dict[str, str] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    reads: str = ""
    key: str = ""

    @property
    def conserved(self) -> bool:
        """Whether every row that came in is accounted for."""
        return self.rows_in == self.kept + sum(self.filtered.values()) + sum(self.dead.values())


class Parts:
    """The parts of one table under ``root/name`` (kept), ``root/filtered/name`` and ``root/dead/name``."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name

    def file(self, part: int, kind: str = "kept") -> Path:
        """Path of a part's rows: ``kept``, ``filtered`` or ``dead``."""
        folder = self.root / self.name if kind == "kept" else self.root / kind / self.name
        return folder / f"part-{part:05d}.parquet"

    def record_file(self, part: int) -> Path:
        """Path of a part's commit record."""
        return self.root / self.name / f"part-{part:05d}.json"

    def commit_of(self, part: int) -> Commit | None:
        """The part's commit record, or ``None`` while it is not done.

        Raises:
            UserError: the record exists but cannot be read.
        """
        file = self.record_file(part)
        try:
            commit = Commit(**json.loads(file.read_text("utf-8")))
            if self._name_of(part) not in commit.files:
                raise ValueError(f"it does not name {self._name_of(part)}")
            return commit
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as e:
            raise UserError(f"the commit record {file} is damaged: {e}", _repair(self.root)) from None

    @property
    def begun(self) -> bool:
        """Whether any part is finished."""
        return any((self.root / self.name).glob("part-*.json"))

    def commits(self) -> list[Commit]:
        """Records of all finished parts, in order."""
        folder = self.root / self.name
        commits = [self.commit_of(_number(p)) for p in sorted(folder.glob("part-*.json"), key=_number)]
        return [c for c in commits if c is not None]

    def digest(self, commit: Commit) -> str:
        """What a part built on this one records as its ``upstream``: it covers all that this part was built on."""
        own = commit.files[self._name_of(commit.part)]
        return own if not commit.reads else hashlib.sha256(f"{commit.upstream} {own}".encode()).hexdigest()

    def _name_of(self, part: int, kind: str = "kept") -> str:
        return self.file(part, kind).relative_to(self.root).as_posix()

    def write(self, commit: Commit, tables: dict[str, pa.Table]) -> Commit:
        """Write the part's tables, then its record. ``tables`` is keyed by kind; empty ones are left out.

        Raises:
            RuntimeError: rows were lost or doubled; nothing is committed.
        """
        if not commit.conserved or tables["kept"].num_rows != commit.kept:
            raise RuntimeError(f"{self.name} part {commit.part} does not conserve its rows: {commit}")
        files: dict[str, str] = {}
        for kind, table in tables.items():
            path = self.file(commit.part, kind)
            if kind != "kept" and table.num_rows == 0:
                path.unlink(missing_ok=True)
                continue
            write_atomic(path, lambda p, t=table: write_parquet(t, p))  # type: ignore[misc]
            files[self._name_of(commit.part, kind)] = sha256(path)
        done = Commit(**{**asdict(commit), "files": files})
        write_json(self.record_file(commit.part), asdict(done))
        return done

    def remove(self, part: int) -> None:
        """Remove a part: its record first, so that a half-removed part never counts."""
        self.record_file(part).unlink(missing_ok=True)
        for kind in ("kept", "filtered", "dead"):
            self.file(part, kind).unlink(missing_ok=True)

    def verify(self, commit: Commit) -> None:
        """Compare every file of a part with its recorded checksum; an unchanged file is read once per process.

        Raises:
            UserError: a file is missing, or its bytes are not those that were written.
        """
        for name, wanted in commit.files.items():
            path = self.root / name
            try:
                info = path.stat()
            except OSError:
                raise UserError(f"{path} is missing.", _repair(self.root)) from None
            checked = (str(path), wanted, info.st_size, info.st_mtime_ns)
            if checked in _verified:
                continue
            if sha256(path) != wanted:
                raise UserError(
                    f"{path} is damaged: its checksum is not the one recorded when it was written.",
                    _repair(self.root),
                )
            _verified.add(checked)

    def read(self, part: int, kind: str = "kept", columns: list[str] | None = None) -> pa.Table:
        """Rows of a finished part, whole, or some of their columns; every file that is read is verified.

        Raises:
            UserError: the part is not finished, or one of its files is missing or damaged.
        """
        commit = self.commit_of(part)
        path = self.file(part, kind)
        if commit is None or self._name_of(part, kind) not in commit.files:
            raise UserError(f"{path} is not part of a finished stage.")
        self.verify(commit)
        own = pq.read_schema(path).names
        if kind != "kept" or not commit.reads:
            listed = [c for c in own if c != ROW_DIGEST] if columns is None else columns
            return pq.read_table(path, columns=listed)
        missing = None if columns is None else [c for c in columns if c not in own]
        if columns is not None and not missing:
            return pq.read_table(path, columns=columns)
        added = pq.read_table(path, columns=None if columns is None else list({commit.key, *columns} & set(own)))
        before = Parts(self.root, commit.reads)
        earlier = before.read(part, columns=None if missing is None else list({commit.key, *missing}))
        positions = pc.index_in(added.column(commit.key), earlier.column(commit.key).combine_chunks())
        earlier = earlier.take(positions)
        for name in added.column_names:
            if name not in (commit.key, ROW_DIGEST):
                earlier = earlier.append_column(added.schema.field(name), added.column(name))
        return earlier if columns is None else earlier.select(columns)

    def columns(self) -> list[str]:
        """Names of the columns that :meth:`read` returns for kept rows; none where no part is finished."""
        for commit in self.commits():
            if self._name_of(commit.part, "kept") in commit.files:
                own = [c for c in pq.read_schema(self.file(commit.part)).names if c != ROW_DIGEST]
                before = Parts(self.root, commit.reads).columns() if commit.reads else []
                return before + [c for c in own if c not in before]
        return []

    def row_digests(self, part: int) -> list[str]:
        """The digest of each kept row of a finished part, in order."""
        if ROW_DIGEST in pq.read_schema(self.file(part)).names:
            digests: list[str] = self.read(part, columns=[ROW_DIGEST]).column(0).to_pylist()
            return digests
        return [digest_of("", row) for row in self.read(part).to_pylist()]

    def rows(self, kind: str = "kept", columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Tables of all finished parts that have rows of this kind."""
        for commit in self.commits():
            if self._name_of(commit.part, kind) in commit.files:
                yield self.read(commit.part, kind, columns)


def digest_of(before: str, added: dict[str, Any]) -> str:
    """Digest of a row from that of the row it was made from and the columns added to it; 16 hex digits."""
    text = json.dumps([before, added], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table with page checksums; row groups stay well under 64 MiB."""
    rows = max(1, table.num_rows)
    per_group = max(1, min(ROW_GROUP, int((32 << 20) / max(1, table.nbytes / rows))))
    pq.write_table(table, path, row_group_size=per_group, compression="zstd", write_page_checksum=True)


def to_table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of this schema; missing columns become nulls."""
    return pa.Table.from_pylist(rows, schema=schema)


def _repair(root: Path) -> str:
    return (
        f"See what else is damaged: avcurate verify {root}. Add --discard-damaged to remove it; the same command then "
        "rebuilds it."
    )


def _number(record: Path) -> int:
    """The part's; from a hundred thousand on, names do not sort as numbers."""
    return int(record.stem.split("-")[1])
