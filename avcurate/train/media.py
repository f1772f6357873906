"""Clips of the rows that are trained on; one that cannot be read is written down and stops nobody."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avcurate.errors import MediaError
from avcurate.media.cache import ClipCache
from avcurate.media.decode import DecodedClip


class Rows:
    """Reads clips of rows.

    Args:
        clips: decodes and keeps clips.
        dead: gets a line for each question whose clip cannot be read, once.
    """

    def __init__(self, clips: ClipCache, dead: Path) -> None:
        self._clips, self._file = clips, dead
        self._dead: set[str] = set()
        if dead.is_file():
            self._dead = {json.loads(line)["question_id"] for line in dead.read_text("utf-8").splitlines()}

    def ahead(self, rows: Iterable[dict[str, Any]]) -> None:
        """Begin to decode."""
        for row in rows:
            self._clips.get(row["media"], row["start"], row["end"])

    def clip(self, row: dict[str, Any]) -> DecodedClip | None:
        """A row's clip, or ``None`` where it cannot be read."""
        try:
            return self._clips.get(row["media"], row["start"], row["end"]).result()
        except MediaError as e:
            if row["question_id"] not in self._dead:
                self._dead.add(row["question_id"])
                told = {"question_id": row["question_id"], "media": row["media"], "reason": e.reason, "message": str(e)}
                with self._file.open("a", encoding="utf-8") as f:
                    f.write(json.dumps(told, ensure_ascii=False) + "\n")
            return None
