"""SIGINT and SIGTERM: the first stops the work resumably, the second exits at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from avcurate.errors import Stopped

GRACE_S = 5.0


def stop_on_signals() -> None:
    """Raise in the main thread on the first signal; exit on the second, or if the work does not stop in time."""
    if threading.current_thread() is not threading.main_thread():
        return
    received: list[int] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        code = 128 + signum
        if received:
            interrupted(code)
        received.append(signum)
        timer = threading.Timer(GRACE_S, interrupted, (code,))
        timer.daemon = True
        timer.start()
        raise Stopped(code)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def interrupted(code: int) -> None:
    """Print in one line how to resume, and exit."""
    sys.stderr.write("Interrupted. Run the same command again to resume.\n")
    exit_at_once(code)


def exit_at_once(code: int) -> None:
    """End the process and its children without waiting for threads: all finished work is on disk already."""
    from avcurate.media.child import kill_all

    kill_all()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
