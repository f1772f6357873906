"""Outlines of what is seen in the demo world: plain shapes, and pictograms of things that also sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def distance(form: str, dx: Array, dy: Array, r: float) -> Array:
    """Signed distance in pixels from the outline of a form of radius ``r``, negative inside; y points down."""
    ax, ay = np.abs(dx), np.abs(dy)
    if form == "ring":
        return np.asarray(np.abs(np.hypot(dx, dy) - r * 0.78) - r * 0.22)
    if form == "square":
        return np.asarray(np.maximum(ax, ay) - r * 0.86)
    if form == "triangle":
        return np.asarray(np.maximum(ax * 0.87 + dy * 0.5, -dy) - r * 0.55)
    if form == "bell":
        dome = _disc(dx, dy + r * 0.3, r * 0.5)
        body = np.maximum(np.maximum(ax - (r * 0.5 + dy * 0.35), ay - r * 0.55), -dy - r * 0.3)
        return _any(dome, body, _disc(dx, dy - r * 0.8, r * 0.2))
    if form == "siren":
        lamp = np.maximum(_disc(dx, dy, r * 0.72), dy)
        return _any(lamp, _box(dx, dy - r * 0.45, r, r * 0.22))
    if form == "drum":
        return _any(_box(dx, dy + r * 0.55, r * 0.95, r * 0.16), _box(dx, dy - r * 0.2, r * 0.95, r * 0.4))
    if form == "whistle":
        chamber = np.maximum(
            _disc(dx + r * 0.35, dy - r * 0.15, r * 0.6), -_disc(dx + r * 0.35, dy - r * 0.15, r * 0.22)
        )
        return _any(chamber, _box(dx - r * 0.35, dy + r * 0.3, r * 0.65, r * 0.16))
    arm = r * 0.3
    return np.asarray(np.maximum(np.minimum(ax, ay) - arm, np.maximum(ax, ay) - r))


def _disc(dx: Array, dy: Array, r: float) -> Array:
    return np.asarray(np.hypot(dx, dy) - r)


def _box(dx: Array, dy: Array, half_width: float, half_height: float) -> Array:
    return np.asarray(np.maximum(np.abs(dx) - half_width, np.abs(dy) - half_height))


def _any(*parts: Array) -> Array:
    return np.asarray(np.minimum.reduce(parts))
