"""A process that decodes clip after clip through PyAV, killed and begun again where one takes too long.

Starting ffprobe and ffmpeg costs more than decoding a short clip does. PyAV (the extra ``pyav``) holds ffmpeg's
libraries in a process of ours; it is limited as they are, and what it is not sure of they decode.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from functools import cache
from typing import Any

from avcurate.media import child

PER_PROCESS = 500
"""Clips after which a process makes way for a new one, so that a leak in a decoder ends."""
MOST_DEATHS = 5
"""Deaths in a row after which no other process is started."""


@cache
def available() -> bool:
    """Whether PyAV is installed, and not switched off by ``AVCURATE_PYAV=0``."""
    return os.environ.get("AVCURATE_PYAV", "1") != "0" and importlib.util.find_spec("av") is not None


class Reader:
    """One such process; for one thread."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._served = self._deaths = 0

    def ask(self, request: dict[str, Any], *, timeout_s: float, memory_mb: int) -> dict[str, Any] | None:
        """The answer; ``None`` where ffmpeg must decode the clip: the process is not sure of it, or died of it.

        Raises:
            MediaError: ``media_timeout`` when it took longer than ``timeout_s``; the process is killed.
        """
        if self._deaths >= MOST_DEATHS:
            return None
        if self._child is None or self._child.poll() is not None or self._served >= PER_PROCESS:
            self.close()
            # -P: not from the folder that the command was typed in, which may hold anything
            command = [sys.executable, "-P", "-m", "avcurate.media.pyav"]
            self._child = child.lasting(command, memory_mb=memory_mb)
            self._served = 0
        self._served += 1
        try:
            line = self._exchange(json.dumps(request).encode() + b"\n", time.monotonic() + timeout_s)
        except TimeoutError:
            self.close()
            raise child.too_slow(timeout_s) from None
        except OSError:
            line = b""
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            # it ended, or a library wrote something of its own
            self.close()
            self._deaths += 1
            return None
        self._deaths = 0
        return None if "unsure" in answer else answer

    def _exchange(self, line: bytes, deadline: float) -> bytes:
        """One line for another; empty: the process ended."""
        assert self._child is not None and self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(line)
        self._child.stdin.flush()
        out, answer = self._child.stdout.fileno(), b""
        while not answer.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                raise TimeoutError
            more = os.read(out, 1 << 16)
            if not more:
                return b""
            answer += more
        return answer

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            child.end(self._child)
            self._child = None
