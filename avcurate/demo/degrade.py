"""What makes a clip of the hard world hard: noise and distractors over its picture and its sound, in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avcurate.demo.world import Hearing, Sight

# noise finer than this is lost in encoding and scaling
GRAIN_PIXELS = 4


def cover(frames: NDArray[np.float32], sight: Sight, seed: int, fps: int) -> None:
    """Grey discs, coarse noise, and a stretch of noise alone.

    Args:
        frames: float32 (T, size, size, 3), grey levels 0 to 255.
    """
    rng = np.random.default_rng([seed, 4])
    n, size = frames.shape[:2]
    base = float(frames.mean())
    for _ in range(sight.blobs):
        center, step = rng.uniform(0, size, 2), rng.uniform(-3, 3, 2)
        radius, grey = rng.uniform(6, 12), rng.uniform(30, 225)
        yy, xx = (np.argwhere(np.hypot(*np.mgrid[-12:13, -12:13]) < radius) - 12).T
        for t in range(n):
            column, row = np.round(center + step * t).astype(int)
            frames[t][(row + yy) % size, (column + xx) % size] = grey
    cells = -(-size // GRAIN_PIXELS)
    first, last = (round(s * fps) for s in sight.hidden)
    frames[first:last] = base
    for t in range(n):
        strength = max(sight.grain, 40.0) if first <= t < last else sight.grain
        noise = rng.normal(0, 1, (cells, cells, 3)) * strength
        frames[t] += noise.repeat(GRAIN_PIXELS, 0).repeat(GRAIN_PIXELS, 1)[:size, :size]


def drown(wave: NDArray[np.float64], hearing: Hearing, seed: int, rate: int) -> None:
    """Coloured noise at a level, and clicks.

    Args:
        wave: float64 (N,) samples.
    """
    rng = np.random.default_rng([seed, 5])
    noise = np.convolve(rng.normal(0, 1, len(wave)), np.exp(-np.arange(12) / rng.uniform(0.5, 4)), "same")
    wave += noise / max(1e-9, float(noise.std())) * hearing.hum
    size = int(0.012 * rate)
    for start in rng.integers(0, len(wave) - size, hearing.clicks):
        wave[start : start + size] += rng.normal(0, 0.25, size) * np.exp(-np.arange(size) / (0.004 * rate))
