"""Plays responses from a file: for tests, replays, debugging and published predictions.

The file is JSON Lines, one object per question and setting:
``{"question_id": ..., "setting": "a"|"v"|"av", "responses": ["...", ...]}``. Optional
``audio_tokens``/``video_tokens`` play back token counts, ``error`` plays back a failure.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from avcurate.engines.base import Engine, Failure, Perception, Reply, Request, Response, Source
from avcurate.errors import UserError
from avcurate.store.atomic import sha256


class ScriptedEngine(Engine):
    """Answers with stored responses, in the order of their seeds."""

    name = "scripted"
    keeps_prompts = True
    perceives = False

    def __init__(self, script: Path) -> None:
        self.script = script
        self._keys = np.zeros(0, np.uint64)
        self._offsets = np.zeros(0, np.int64)

    def identity(self) -> dict[str, Any]:
        """The script's content."""
        return {"engine": self.name, "script": sha256(self.script) if self.script.is_file() else None}

    def setup(self) -> None:
        """Index the script by question and setting; only offsets are kept in memory."""
        if not self.script.is_file():
            raise UserError(f"the script {self.script} does not exist.", "Give --model the path of a .jsonl file.")
        keys, offsets = array("Q"), array("q")
        at = 0
        with self.script.open("rb") as f:
            for line in f:
                try:
                    entry = json.loads(line)
                    keys.append(_hash(f"{entry['question_id']}/{entry['setting']}"))
                except (ValueError, KeyError, TypeError):
                    raise UserError(
                        f"{self.script} at byte {at}: not an object with question_id and setting.",
                        "See `avcurate label-pem --help` for the format.",
                    ) from None
                offsets.append(at)
                at += len(line)
        order = np.argsort(np.asarray(keys, np.uint64), kind="stable")
        self._keys = np.asarray(keys, np.uint64)[order]
        self._offsets = np.asarray(offsets, np.int64)[order]

    def _offset(self, key: str) -> int | None:
        """Where the last entry of a question and setting begins."""
        hashed = np.uint64(_hash(key))
        index = int(np.searchsorted(self._keys, hashed, "right")) - 1
        return int(self._offsets[index]) if index >= 0 and self._keys[index] == hashed else None

    def generate(self, source: Source) -> Iterator[Reply | Failure]:
        """Play back the script's entry for each request."""
        with self.script.open("rb") as f:
            while (request := source.take(wait=True)) is not None:
                at = self._offset(request.key.rsplit("/", 1)[0])
                if at is None:
                    yield Failure(request.key, "not_in_script", f"the script has no entry for {request.key}.")
                    continue
                f.seek(at)
                yield self._play(request, json.loads(f.readline()))

    def _play(self, request: Request, entry: dict[str, Any]) -> Reply | Failure:
        if "error" in entry:
            return Failure(request.key, str(entry["error"]), "played from the script")
        first = int(request.key.rsplit("/", 1)[1])
        texts = entry["responses"][first : first + request.n]
        if len(texts) < request.n:
            return Failure(
                request.key,
                "script_too_short",
                f"the script holds {len(entry['responses'])} responses for {request.key}, "
                f"{first + request.n} are needed.",
            )
        responses = tuple(Response(request.seed + i, t, "stop", len(t.split())) for i, t in enumerate(texts))
        return Reply(request.key, responses, -1, entry.get("audio_tokens", -1), entry.get("video_tokens", -1))

    def perceive(self, request: Request) -> Perception:
        """A script perceives nothing."""
        return Perception(-1, -1, -1)


def _hash(key: str) -> int:
    """Eight bytes instead of a string: an index of millions of entries stays small."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
