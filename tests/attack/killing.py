"""Choice of the moment at which a process is killed."""

import fnmatch
import os
import time
from pathlib import Path


def await_moment(folder, child, aim, rng, lasts):
    """Wait until it is time to kill: a random time (``time``), or just after a file matching a glob appears.

    Args:
        folder: where the child writes.
        lasts: seconds an uninterrupted run takes.
    """
    if aim == "time":
        child.join(rng.uniform(0.02, 0.9) * lasts)
        return
    before, count = _matching_files(folder, aim), rng.randint(1, 3)
    deadline = time.monotonic() + 2 * lasts
    while child.is_alive() and time.monotonic() < deadline:
        if len(_matching_files(folder, aim) - before) >= count:
            # a little later, so that kills do not all hit the same line
            time.sleep(rng.uniform(0, 0.002))
            return


def _matching_files(folder, aim):
    # not rglob, which raises if a folder vanishes meanwhile
    return {Path(at, n) for at, dirs, files in os.walk(folder) for n in fnmatch.filter(dirs + files, aim)}
