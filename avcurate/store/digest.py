"""SHA-256 of large files that rarely change, remembered between processes."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from avcurate.store.atomic import sha256, write_json

REMEMBERED = 4096


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; read again only when path, size, times or inode have changed.

    What is remembered lies under ``$XDG_CACHE_HOME/avcurate``; where that cannot be written nothing is remembered.
    """
    info = path.stat()
    key = str(path.resolve())
    facts = [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
    known = _known()
    if key in known and known[key][:4] == facts:
        return str(known[key][4])
    digest = sha256(path)
    known = {**{k: v for k, v in _known().items() if k != key}, key: [*facts, digest]}
    with suppress(OSError):
        write_json(_file(), dict(list(known.items())[-REMEMBERED:]))
    return digest


def _file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "avcurate" / "digests.json"


def _known() -> dict[str, list[object]]:
    try:
        found = json.loads(_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, list) and len(v) == 5}
