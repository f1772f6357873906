"""Partial work inside a part, kept across a crash.

One line per finished piece of work. A line cut short by a crash is ignored, and so is everything
in a journal whose fingerprint is not the present one. Each line is handed to the operating system
at once: a killed process loses nothing, a power cut at most the last lines, which are redone.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from avcurate.store.atomic import write_atomic


class Journal:
    """The journal of one stage: a file per part under ``root/journal/stage``."""

    def __init__(self, root: Path, stage: str, fingerprint: str) -> None:
        self._folder = root / "journal" / stage
        self._fingerprint = fingerprint
        self._part_of: dict[str, int] = {}
        self._held: dict[str, dict[str, Any]] = {}
        self._files: dict[int, Any] = {}

    def _file(self, part: int) -> Path:
        return self._folder / f"part-{part:05d}.jsonl"

    def open_part(self, part: int, row_ids: list[str]) -> None:
        """Take up a part: read what an earlier process left of these rows."""
        self._folder.mkdir(parents=True, exist_ok=True)
        known = set(row_ids)
        for row_id in row_ids:
            self._part_of[row_id] = part
        path = self._file(part)
        kept = b""
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                entry = _parse(line)
                if entry is None or entry[0] != self._fingerprint:
                    continue
                kept += line
                if entry[1] in known:
                    self._held.setdefault(entry[1], {})[entry[2]] = entry[3]
            write_atomic(path, lambda p: p.write_bytes(kept))
        self._files[part] = path.open("ab", buffering=0)

    def get(self, row_id: str) -> dict[str, Any]:
        """Pieces of this row that are already done, by key."""
        return self._held.get(row_id, {})

    def hold(self, row_id: str, pieces: dict[str, Any]) -> None:
        """Take up pieces from elsewhere; journaled ones of the same row win, being newer."""
        self._held[row_id] = pieces | self._held.get(row_id, {})

    def put(self, row_id: str, key: str, value: Any) -> None:
        """Record one finished piece of a row."""
        body = json.dumps([self._fingerprint, row_id, key, value], ensure_ascii=True)
        line = f"{zlib.crc32(body.encode()):08x} {body}\n".encode()
        self._files[self._part_of[row_id]].write(line)

    def close_part(self, part: int, row_ids: list[str]) -> None:
        """The part is committed: its journal is no longer needed."""
        for row_id in row_ids:
            self._held.pop(row_id, None)
            self._part_of.pop(row_id, None)
        self._files.pop(part).close()
        self._file(part).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of all files; what they hold is taken up by the next process."""
        for f in self._files.values():
            f.close()
        self._files.clear()


def _parse(line: bytes) -> tuple[str, str, str, Any] | None:
    try:
        crc, body = line.rstrip(b"\n").split(b" ", 1)
        if int(crc, 16) != zlib.crc32(body) or not line.endswith(b"\n"):
            return None
        fingerprint, row_id, key, value = json.loads(body)
    except ValueError:
        return None
    return fingerprint, row_id, key, value
