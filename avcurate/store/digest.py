"""SHA-256 of files that rarely change: cached in this process, and for large files across processes."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from avcurate.store.atomic import sha256, write_json

MAX_CACHED = 512
# smaller files are hashed faster than the cache is written
LARGE = 32 << 20

_in_process: dict[tuple[str, int, int, int, int], str] = {}


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; read again only when path, size, times or inode have changed.

    Digests of large files are cached under ``$XDG_CACHE_HOME/avcurate``; where that cannot be written, none are.
    """
    info = path.stat()
    key = (str(path.resolve()), info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
    if key not in _in_process:
        cached = _stored() if info.st_size >= LARGE else {}
        name, state = key[0], list(key[1:])
        if name in cached and cached[name][:-1] == state:
            _in_process[key] = str(cached[name][-1])
        else:
            _in_process[key] = sha256(path)
            if info.st_size >= LARGE:
                cached = {k: v for k, v in _stored().items() if k != name} | {name: [*state, _in_process[key]]}
                with suppress(OSError):
                    write_json(_file(), dict(list(cached.items())[-MAX_CACHED:]))
    return _in_process[key]


def intact(path: Path, digest: str) -> bool:
    """Whether a file exists with these bytes."""
    try:
        return file_digest(path) == digest
    except OSError:
        return False


def _file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "avcurate" / "digests.json"


def _stored() -> dict[str, list[object]]:
    try:
        stored = json.loads(_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {k: v for k, v in stored.items() if isinstance(v, list) and len(v) == 5}
