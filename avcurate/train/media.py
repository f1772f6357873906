"""Training questions and their clips; what cannot be read is recorded and does not stop training."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from avcurate.errors import MediaError
from avcurate.media.cache import ClipCache
from avcurate.media.decode import CODEC_PADDING, SAMPLE_RATE, DecodedClip
from avcurate.media.folder import refuse_name

LATELY = 64


class Rows:
    """Reads the clips of rows.

    Args:
        clips: decodes and caches clips.
        dead: file that gets one line for each question that cannot be trained on.
        longest_sound: seconds that the model takes; a codec's padding above it is cut off.
    """

    def __init__(self, clips: ClipCache, dead: Path, longest_sound: float = math.inf) -> None:
        self._clips, self._file, self._longest_sound = clips, dead, longest_sound
        self._dead = {entry["question_id"] for entry in read_dead(dead)}
        self._lately: deque[str] = deque(maxlen=LATELY)

    def ahead(self, rows: Iterable[dict[str, Any]]) -> None:
        """Start decoding."""
        for row in rows:
            with suppress(MediaError):
                refuse_name(row["media"])
                self._clips.get(row["media"], row["start"], row["end"])

    def clip(self, row: dict[str, Any]) -> DecodedClip | None:
        """A row's clip, or ``None`` where it cannot be read or is not the one that was labelled."""
        try:
            refuse_name(row["media"])
            clip = self._clips.get(row["media"], row["start"], row["end"]).result()
            labelled = row.get("media_sha256")
            if labelled and labelled != clip.sha256:
                raise MediaError("media_changed", f"{row['media']} is not the file that was labelled.")
            clip = self._within_limit(row, clip)
            self._lately.append(row["question_id"])
            return clip
        except MediaError as e:
            self.leave_out(row, e.reason, str(e))
            return None

    def _within_limit(self, row: dict[str, Any], clip: DecodedClip) -> DecodedClip:
        if clip.audio is None or len(clip.audio) <= self._longest_sound * SAMPLE_RATE:
            return clip
        over = len(clip.audio) / SAMPLE_RATE - self._longest_sound
        if over > CODEC_PADDING:
            about = f"{row['media']} has {over:.1f} s more sound than the model takes ({self._longest_sound:g} s)."
            raise MediaError("over_family_limit", about)
        return replace(clip, audio=clip.audio[: int(self._longest_sound * SAMPLE_RATE)])

    def lately(self, count: int) -> list[str]:
        """Ids of the last questions whose clips were read, at most 64, without repeats, oldest first."""
        return list(dict.fromkeys(self._lately))[-count:]

    def leave_out(self, row: dict[str, Any], reason: str, message: str) -> None:
        """Record that a question is not trained on."""
        if row["question_id"] in self._dead:
            return
        self._dead.add(row["question_id"])
        entry = {"question_id": row["question_id"], "media": row["media"], "reason": reason, "message": message}
        # a line cut off by a crash must not swallow this one
        torn = self._file.is_file() and not self._file.read_bytes().endswith(b"\n") and self._file.stat().st_size > 0
        with self._file.open("a", encoding="ascii") as f:
            f.write(("\n" if torn else "") + json.dumps(entry) + "\n")

    def readable(self, items: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], DecodedClip]]:
        """Items (with a ``row``) whose clip can be read, each with its clip."""
        for item in items:
            clip = self.clip(item["row"])
            if clip is not None:
                yield item, clip


def read_dead(file: Path) -> list[dict[str, Any]]:
    """Questions that were not trained on, each once, whoever wrote it; a line cut off by a crash is skipped."""
    entries: dict[str, dict[str, Any]] = {}
    for line in file.read_text("ascii", errors="replace").split("\n") if file.is_file() else ():
        try:
            entry = json.loads(line)
            entries.setdefault(entry["question_id"], entry)
        except (ValueError, KeyError, TypeError):
            continue
    return list(entries.values())
