"""Partial work inside a part, kept across a crash.

One line per finished piece of work, written as it arrives. A piece is *unconfirmed* until the canary that follows
it has passed on the process that made it; then a line confirms all that came before. A reader gets confirmed pieces,
and unconfirmed ones only if the process that made them has just passed a canary again.

A line cut short by a crash is ignored, and so is everything in a journal whose fingerprint is not the current one. Each
line is handed to the operating system at once: a killed process loses nothing, a power cut at most the last lines,
which are redone.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.store.atomic import write_atomic

PIECE, CONFIRM = "piece", "confirm"


@dataclass
class _Piece:
    value: Any
    witness: str


class Journal:
    """The journal of one stage: a file per part under ``root/journal/stage``."""

    def __init__(self, root: Path, stage: str, fingerprint: str) -> None:
        self._folder = root / "journal" / stage
        self._fingerprint = fingerprint
        self._part_of: dict[str, int] = {}
        self._held: dict[str, dict[str, _Piece]] = {}
        self._files: dict[int, Any] = {}
        self._unconfirmed: dict[str, set[int]] = {}

    @property
    def begun(self) -> bool:
        """Whether an earlier session left anything."""
        return any(f.stat().st_size for f in self._folder.glob("part-*.jsonl"))

    def _file(self, part: int) -> Path:
        return self._folder / f"part-{part:05d}.jsonl"

    def open_part(self, part: int, row_ids: list[str]) -> None:
        """Open a part: read what an earlier process left of these rows."""
        self._folder.mkdir(parents=True, exist_ok=True)
        known = set(row_ids)
        for row_id in row_ids:
            self._part_of[row_id] = part
        path = self._file(part)
        kept = b""
        if path.exists():
            pieces: list[_Piece] = []
            for line in path.read_bytes().splitlines(keepends=True):
                entry = _parse(line)
                if entry is None or entry[1] != self._fingerprint:
                    continue
                kept += line
                if entry[0] == CONFIRM:
                    for piece in pieces:
                        piece.witness = "" if piece.witness == entry[2] else piece.witness
                    continue
                _, _, row_id, key, value, witness = entry
                if row_id in known:
                    pieces.append(_Piece(value, witness))
                    self._held.setdefault(row_id, {})[key] = pieces[-1]
            write_atomic(path, lambda p: p.write_bytes(kept))
        self._files[part] = path.open("ab", buffering=0)

    def get(self, row_id: str, witness: str = "") -> dict[str, Any]:
        """Pieces of this row that are done, by key: confirmed ones, and those of ``witness``."""
        held = self._held.get(row_id, {})
        return {key: piece.value for key, piece in held.items() if piece.witness in ("", witness)}

    def pieces(self, row_id: str) -> dict[str, tuple[Any, str]]:
        """All pieces of this row with the process that is to confirm each; empty: confirmed."""
        return {key: (piece.value, piece.witness) for key, piece in self._held.get(row_id, {}).items()}

    def hold(self, row_id: str, pieces: dict[str, Any]) -> None:
        """Add confirmed pieces from elsewhere; journaled ones of the same row win, being newer."""
        self._held[row_id] = {k: _Piece(v, "") for k, v in pieces.items()} | self._held.get(row_id, {})

    def put(self, row_id: str, key: str, value: Any, witness: str = "") -> None:
        """Record one finished piece; ``witness`` is the process whose next canary confirms it, empty for none."""
        part = self._part_of[row_id]
        self._write(part, [PIECE, self._fingerprint, row_id, key, value, witness])
        self._held.setdefault(row_id, {})[key] = _Piece(value, witness)
        if witness:
            self._unconfirmed.setdefault(witness, set()).add(part)

    def confirm(self, witness: str) -> None:
        """A canary passed on this process: confirm all pieces that it made."""
        for part in self._unconfirmed.pop(witness, set()) & self._files.keys():
            self._write(part, [CONFIRM, self._fingerprint, witness])

    def _write(self, part: int, entry: list[Any]) -> None:
        body = json.dumps(entry, ensure_ascii=True)
        self._files[part].write(f"{zlib.crc32(body.encode()):08x} {body}\n".encode())

    def close_part(self, part: int, row_ids: list[str]) -> None:
        """The part is committed: its journal is no longer needed."""
        for row_id in row_ids:
            self._held.pop(row_id, None)
            self._part_of.pop(row_id, None)
        self._files.pop(part).close()
        self._file(part).unlink(missing_ok=True)

    def keep_only(self, parts: set[int]) -> None:
        """Remove the files of all other parts: a process killed right after a commit left its file behind."""
        wanted = {self._file(part) for part in parts}
        for path in self._folder.glob("part-*.jsonl"):
            if path not in wanted:
                path.unlink()

    def close(self) -> None:
        """Close all files; the next process reads what they hold."""
        for f in self._files.values():
            f.close()
        self._files.clear()


def bad_lines(path: Path) -> int:
    """Lines of a journal whose checksum fails; a last line that a crash cut off does not count."""
    lines = path.read_bytes().splitlines(keepends=True)
    return sum(_parse(line) is None for line in lines if line.endswith(b"\n"))


def _parse(line: bytes) -> list[Any] | None:
    try:
        crc, body = line.rstrip(b"\n").split(b" ", 1)
        if int(crc, 16) != zlib.crc32(body) or not line.endswith(b"\n"):
            return None
        entry = json.loads(body)
    except ValueError:
        return None
    sizes = {PIECE: 6, CONFIRM: 3}
    return entry if isinstance(entry, list) and entry and sizes.get(entry[0]) == len(entry) else None
