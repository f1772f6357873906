"""Moments at which a process is killed."""

import fnmatch
import os
import time
from pathlib import Path


def await_moment(folder, child, aim, rng, lasts):
    """Wait for the moment at which to kill: some time (``time``), or right after a file of a kind (a glob) appeared.

    Args:
        folder: where the child writes.
        lasts: seconds that an unbroken run takes.
    """
    if aim == "time":
        child.join(rng.uniform(0.02, 0.9) * lasts)
        return
    seen, wanted = _there(folder, aim), rng.randint(1, 3)
    end = time.monotonic() + 2 * lasts
    while child.is_alive() and time.monotonic() < end:
        if len(_there(folder, aim) - seen) >= wanted:
            # a moment later, so that not all of them fall on the same line
            time.sleep(rng.uniform(0, 0.002))
            return


def _there(folder, aim):
    # not rglob, which raises where a folder vanishes under it
    return {Path(at, n) for at, dirs, files in os.walk(folder) for n in fnmatch.filter(dirs + files, aim)}
