"""A clip's poster frame and waveform, for people to look at; made once and kept in memory."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from avcurate.media import child
from avcurate.media.commands import checked, reading
from avcurate.media.commands import start as start_of

WIDTH, BARS, RATE = 480, 240, 8000
MAX_SECONDS = 600.0
_TIMEOUT_S = 20.0


def poster(path: Path, start: float, end: float | None) -> bytes:
    """A JPEG from a third into the part asked about; empty where there is no picture.

    Raises:
        MediaError: the file cannot be read.
    """
    info = path.stat()
    return _poster(path, start, end, info.st_mtime_ns, info.st_size)


def wave(path: Path, start: float, end: float | None) -> list[float]:
    """Greatest absolute sample in each of 240 equal stretches, in [0, 1]; empty where there is no sound.

    Raises:
        MediaError: the file cannot be read.
    """
    info = path.stat()
    return list(_wave(path, start, end, info.st_mtime_ns, info.st_size))


@lru_cache(maxsize=512)
def _poster(path: Path, start: float, end: float | None, _changed: int, _size: int) -> bytes:
    for at in (start + (min(end - start, 30.0) if end is not None else 3.0) / 3, start):
        command = [*start_of(), "-ss", f"{at:.3f}", *reading(path)]
        command += ["-an", "-frames:v", "1", "-vf", f"scale={WIDTH}:-2:force_original_aspect_ratio=decrease"]
        command += ["-q:v", "5", "-f", "mjpeg", "pipe:1"]
        done = child.run(command, timeout_s=_TIMEOUT_S, memory_mb=2048)
        if done.stdout:
            return done.stdout
    return b""


@lru_cache(maxsize=512)
def _wave(path: Path, start: float, end: float | None, _changed: int, _size: int) -> tuple[float, ...]:
    length = min(end - start if end is not None else MAX_SECONDS, MAX_SECONDS)
    command = [*start_of(), "-ss", f"{start:.3f}", *reading(path)]
    command += ["-vn", "-t", f"{length:.3f}", "-ac", "1", "-ar", str(RATE), "-f", "s16le", "pipe:1"]
    done = child.run(command, timeout_s=_TIMEOUT_S, memory_mb=2048)
    if not done.stdout:
        if b"does not contain any stream" not in done.stderr:
            checked(path, done)
        return ()
    samples = np.abs(np.frombuffer(done.stdout[: len(done.stdout) // 2 * 2], "<i2").astype(np.float32)) / 32768
    return tuple(round(float(s.max()), 3) for s in np.array_split(samples, min(BARS, len(samples))))
