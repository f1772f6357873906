"""A clip on an offline page: linked in place, with its poster frame and waveform in the page itself."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from avcurate.errors import AvcurateError
from avcurate.media.preview import poster, wave

EMPTY: dict[str, Any] = {"src": "", "poster": "", "bars": [], "name": ""}


def shown(path: Path, page: Path, start: float | None = None, end: float | None = None) -> dict[str, Any]:
    """What ``blocks.clip`` draws.

    Args:
        path: the clip; page: folder of the page, from which it is linked.
        start: of the part that is shown, seconds; end likewise.

    Returns:
        ``src``, ``poster`` (data URI), ``bars`` (x, y, height of each in 0 to 240 by 0 to 40) and ``name``; empty where
        the file is gone or cannot be read.
    """
    found = linked(path, page, start, end)
    try:
        picture, peaks = poster(path, start or 0.0, end), wave(path, start or 0.0, end)
    except (AvcurateError, OSError):
        return found
    if picture:
        found["poster"] = f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"
    found["bars"] = [(i, round(20 - 19 * p, 1), round(max(0.6, 38 * p), 1)) for i, p in enumerate(peaks)]
    return found


def linked(path: Path, page: Path, start: float | None = None, end: float | None = None) -> dict[str, Any]:
    """The same without poster and waveform."""
    relative = quote(os.path.relpath(path.resolve(), page.resolve()))
    cut = f"#t={start or 0:g}" + (f",{end:g}" if end is not None else "") if start or end is not None else ""
    return EMPTY | {"src": relative + cut, "name": path.name}
