"""One writer per run directory."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from avcurate.errors import RunLocked

PATIENCE = 10


@contextmanager
def writer_lock(root: Path) -> Iterator[None]:
    """Hold the run's lock; the kernel releases it when the process ends, however it ends.

    Raises:
        RunLocked: another process holds it; the message names it.
    """
    root.mkdir(parents=True, exist_ok=True)
    file = root / "lock"
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise RunLocked(f"{file} is not a regular file.", "Remove it: the lock must be a regular file.")
    with file.open("a+") as f:
        if not _taken(f):
            f.seek(0)
            holder = f.read().strip() or "another process"
            raise RunLocked(
                f"{root} is being written by {holder}.", "Wait for it, or look at it with `avcurate status`."
            )
        f.truncate(0)
        f.write(f"process {os.getpid()} on {socket.gethostname()}")
        f.flush()
        yield
        f.truncate(0)


def _taken(f: IO[str]) -> bool:
    """Try for a moment: a child that is just starting holds its parent's locks until it has become ffmpeg."""
    for _ in range(PATIENCE):
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(0.05)
    return False
