"""Scratch folders of this process, in one place, so that none outlives it; those of killed processes are removed."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

PREFIX = "avcurate-scratch-"


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A new folder for one piece of work."""
    return tempfile.TemporaryDirectory(prefix="work-", dir=_own())


@cache
def _own() -> Path:
    base = Path(tempfile.gettempdir())
    for old in base.glob(f"{PREFIX}*"):
        owner = old.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base))
    atexit.register(remove_scratch)
    return folder


def remove_scratch() -> None:
    """Remove this process's folder."""
    if _own.cache_info().currsize:
        shutil.rmtree(_own(), ignore_errors=True)
        _own.cache_clear()
