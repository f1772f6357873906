"""A stage's output as numbered Parquet parts, each with a commit record.

A part is done when its commit record is there; the record is written last and holds the checksum
of every file of the part and of the part it was made from. Anything without a record is overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from avcurate.errors import UserError
from avcurate.store.atomic import sha256, write_atomic, write_json

ROW_GROUP = 4096


@dataclass(frozen=True)
class Commit:
    """What one finished part holds, and what it was made from."""

    part: int
    rows_in: int
    kept: int
    filtered: dict[str, int]
    dead: dict[str, int]
    upstream: str
    fingerprint: str
    files: dict[str, str] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def conserved(self) -> bool:
        """Whether every row that came in is accounted for."""
        return self.rows_in == self.kept + sum(self.filtered.values()) + sum(self.dead.values())


class Parts:
    """The parts of one stage under ``root/name`` (kept), ``root/filtered/name`` and ``root/dead/name``."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name

    def file(self, part: int, kind: str = "kept") -> Path:
        """Path of a part's rows: ``kept``, ``filtered`` or ``dead``."""
        folder = self.root / self.name if kind == "kept" else self.root / kind / self.name
        return folder / f"part-{part:05d}.parquet"

    def _record(self, part: int) -> Path:
        return self.root / self.name / f"part-{part:05d}.json"

    def commit_of(self, part: int) -> Commit | None:
        """The part's commit record, or ``None`` while it is not done."""
        try:
            return Commit(**json.loads(self._record(part).read_text()))
        except FileNotFoundError:
            return None

    def commits(self) -> list[Commit]:
        """Records of all finished parts, in order."""
        folder = self.root / self.name
        found = [self.commit_of(int(p.stem.split("-")[1])) for p in sorted(folder.glob("part-*.json"))]
        return [c for c in found if c is not None]

    def digest(self, commit: Commit) -> str:
        """What a part built on this one records as its ``upstream``."""
        return commit.files[str(self.file(commit.part).relative_to(self.root))]

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
            files[str(path.relative_to(self.root))] = sha256(path)
        done = Commit(**{**asdict(commit), "files": files})
        write_json(self._record(commit.part), asdict(done))
        return done

    def remove(self, part: int) -> None:
        """Take a part away: its record first, so that it is never half there."""
        self._record(part).unlink(missing_ok=True)
        for kind in ("kept", "filtered", "dead"):
            self.file(part, kind).unlink(missing_ok=True)

    def read(self, part: int, kind: str = "kept", columns: list[str] | None = None) -> pa.Table:
        """Rows of a finished part; its checksum is verified.

        Raises:
            UserError: the file is missing or its bytes are not those that were written.
        """
        commit = self.commit_of(part)
        path = self.file(part, kind)
        wanted = commit.files.get(str(path.relative_to(self.root))) if commit else None
        if wanted is None:
            raise UserError(f"{path} is not part of a finished stage.")
        if not path.exists() or sha256(path) != wanted:
            raise UserError(
                f"{path} is damaged: its checksum is not the one recorded when it was written.",
                f"Delete {self._record(part)} and run the command again; only this part is redone.",
            )
        return pq.read_table(path, columns=columns)

    def rows(self, kind: str = "kept", columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Tables of all finished parts that have rows of this kind."""
        for commit in self.commits():
            if str(self.file(commit.part, kind).relative_to(self.root)) in commit.files:
                yield self.read(commit.part, kind, columns)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table with page checksums; row groups stay well under 64 MiB."""
    rows = max(1, table.num_rows)
    per_group = max(1, min(ROW_GROUP, int((32 << 20) / max(1, table.nbytes / rows))))
    pq.write_table(table, path, row_group_size=per_group, compression="zstd", write_page_checksum=True)


def to_table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of this schema; missing columns become nulls."""
    return pa.Table.from_pylist(rows, schema=schema)
