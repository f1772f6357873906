"""SHA-256 of files that rarely change: remembered in this process, and for large files between processes."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from avcurate.store.atomic import sha256, write_json

REMEMBERED = 512
# below this a file is hashed sooner than a list of them is written
LARGE = 32 << 20

_here: dict[tuple[str, int, int, int, int], str] = {}


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; read again only when path, size, times or inode have changed.

    What is remembered of large files lies under ``$XDG_CACHE_HOME/avcurate``; where that cannot be written, nothing is.
    """
    info = path.stat()
    key = (str(path.resolve()), info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
    if key not in _here:
        known = _stored() if info.st_size >= LARGE else {}
        name, facts = key[0], list(key[1:])
        if name in known and known[name][:-1] == facts:
            _here[key] = str(known[name][-1])
        else:
            _here[key] = sha256(path)
            if info.st_size >= LARGE:
                known = {k: v for k, v in _stored().items() if k != name} | {name: [*facts, _here[key]]}
                with suppress(OSError):
                    write_json(_file(), dict(list(known.items())[-REMEMBERED:]))
    return _here[key]


def intact(path: Path, digest: str) -> bool:
    """Whether a file is there with these bytes."""
    try:
        return file_digest(path) == digest
    except OSError:
        return False


def _file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "avcurate" / "digests.json"


def _stored() -> dict[str, list[object]]:
    try:
        found = json.loads(_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, list) and len(v) == 5}
