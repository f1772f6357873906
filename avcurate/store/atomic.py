"""Files that exist whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` on a temporary name beside ``path``, then fsync and rename it into place.

    The file is fsynced before the rename, so that a crash never leaves a complete name on
    incomplete bytes; the folder is fsynced after it, so that the name itself survives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # one name per thread: two may write one file, and then the later rename wins
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        write(partial)
        with partial.open("rb") as f:
            os.fsync(f.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 file atomically."""
    write_atomic(path, lambda p: p.write_bytes(text.encode("utf-8", "surrogatepass")))


def write_json(path: Path, value: Any) -> None:
    """Write a small JSON file atomically, keys in the order given."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    # a lone surrogate, from a file name that is not UTF-8, can only be written escaped
    if any("\ud800" <= c <= "\udfff" for c in text):
        text = json.dumps(value, indent=1)
    write_text(path, text + "\n")


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed process left in a folder."""
    for stray in folder.glob(".*.tmp"):
        stray.unlink(missing_ok=True)
