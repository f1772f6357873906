"""Specifications of the demo world rendered as pixels and samples.

Knows how a picture looks and how a sound sounds, not files or questions. Everything is
drawn from one seeded generator per clip, with noise on both, so that no two clips are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avcurate.demo.degrade import cover, drown
from avcurate.demo.pictograms import distance
from avcurate.demo.world import CLEAN, CLEAR, CLIP_SECONDS, SLOTS, Hearing, Picture, Sight, Sound

SIZE = 112
FPS = 8
SAMPLE_RATE = 16_000
SLIVER = 6.0
"""Pixels of a shape's part at an edge that make it a thing to be found."""

Box = tuple[float, float, float, float]

_RGB = {
    "red": (215, 40, 40),
    "green": (40, 170, 60),
    "blue": (45, 80, 220),
    "yellow": (230, 205, 40),
}
_STEP = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}


def render_picture(picture: Picture, seed: int, seconds: int = CLIP_SECONDS, sight: Sight = CLEAR) -> NDArray[np.uint8]:
    """Frames of the picture.

    Returns:
        uint8 array (seconds * FPS, SIZE, SIZE, 3), RGB. Shapes drift and re-enter at the other edge.
    """
    n_frames = seconds * FPS
    background, place, rng = _laid_out(picture, seed, n_frames)
    frames = np.empty((n_frames, SIZE, SIZE, 3), np.float32)
    frames[:] = background
    shade = rng.uniform(0.8, 1.1)
    yy, xx = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
    for t in range(n_frames):
        color = np.array(_RGB[picture.colors[t * SLOTS // n_frames]]) * shade
        for center, r in zip(place.centers, place.radius, strict=True):
            cx, cy = (center + place.step * t) % SIZE
            near = np.ix_(_near(cy, r), _near(cx, r))
            dx = (xx[near] - cx + SIZE / 2) % SIZE - SIZE / 2
            dy = (yy[near] - cy + SIZE / 2) % SIZE - SIZE / 2
            mask = np.clip(0.5 - distance(picture.shape, dx, dy, r), 0, 1)[..., None] * sight.contrast
            frames[t][near] = frames[t][near] * (1 - mask) + (color + rng.normal(0, 4)) * mask
    if sight != CLEAR:
        cover(frames, sight, seed, FPS)
    return np.clip(frames, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Places:
    """Where shapes are in the first frame, how large they are, and how far they move in each; pixels."""

    centers: NDArray[np.float64]
    radius: NDArray[np.float64]
    step: NDArray[np.float64]


def _laid_out(picture: Picture, seed: int, n_frames: int) -> tuple[NDArray[np.float64], _Places, np.random.Generator]:
    """The background (T, SIZE, SIZE, 1), the shapes' places, and the generator as it stands then."""
    rng = np.random.default_rng([seed, 1])
    level = rng.uniform(70, 180)
    texture = rng.normal(0, 7, (SIZE, SIZE, 1))
    background = level + texture + rng.normal(0, 4, (n_frames, SIZE, SIZE, 1))
    centers = _centers(picture.count, rng)
    radius = rng.uniform(19, 24, picture.count)
    speed = rng.uniform(14, 22)
    return background, _Places(centers, radius, np.array(_STEP[picture.motion]) * speed / FPS), rng


def boxes(picture: Picture, seed: int, seconds: int = CLIP_SECONDS) -> list[list[Box]]:
    """The boxes of the shapes in each frame of :func:`render_picture`, (x0, y0, x1, y1) in pixels.

    A shape that leaves at one edge and enters at the other has a box for each part; slivers have none.
    """
    _, place, _ = _laid_out(picture, seed, seconds * FPS)
    grid = (np.arange(2 * SIZE) - SIZE + 0.5).astype(np.float32) / 2
    dx, dy = (a.astype(np.float32) for a in np.meshgrid(grid, grid))
    found: list[list[Box]] = [[] for _ in range(seconds * FPS)]
    for center, r in zip(place.centers, place.radius, strict=True):
        inside = distance(picture.shape, dx, dy, r) <= 0
        reach = [float(x) for x in (dx[inside].min(), dy[inside].min(), dx[inside].max(), dy[inside].max())]
        for t, parts in enumerate(found):
            cx, cy = (center + place.step * t) % SIZE
            whole = (cx + reach[0], cy + reach[1], cx + reach[2], cy + reach[3])
            parts += _within(whole)
    return found


def _within(box: Box) -> list[Box]:
    """The parts of a box on the torus that lie in the frame."""
    parts = []
    for right in (-SIZE, 0, SIZE):
        for down in (-SIZE, 0, SIZE):
            x0, y0 = max(0.0, box[0] + right), max(0.0, box[1] + down)
            x1, y1 = min(float(SIZE), box[2] + right), min(float(SIZE), box[3] + down)
            if x1 - x0 >= SLIVER and y1 - y0 >= SLIVER:
                parts.append((x0, y0, x1, y1))
    return parts


def _near(center: float, r: float) -> NDArray[np.int64]:
    """Rows or columns that a form of radius ``r`` may touch, on the torus; each once."""
    reach = min(SIZE // 2, int(r * 1.3) + 2)
    return np.arange(int(center) - reach, int(center) + reach) % SIZE


def _centers(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if count == 1:
        return rng.uniform(0, SIZE, (1, 2))
    cells = rng.permutation(4)[:count]
    half = SIZE / 2
    base = np.stack([cells % 2, cells // 2], 1) * half + half / 2
    return np.asarray(base + rng.uniform(0, SIZE, 2) + rng.uniform(-3, 3, (count, 2)))


def render_sound(sound: Sound, seed: int, seconds: int = CLIP_SECONDS, hearing: Hearing = CLEAN) -> NDArray[np.float32]:
    """Samples of the sound.

    Returns:
        float32 array (seconds * SAMPLE_RATE,), mono, in [-1, 1].
    """
    wave, onsets, length, rng = _begin(sound, seed, seconds)
    total = len(wave)
    gain = rng.uniform(0.35, 0.7) * hearing.level
    voices = {t: np.random.default_rng([seed, 3, i]) for i, t in enumerate(sound.timbres)}
    pitch = {t: v.uniform(0.85, 1.15) for t, v in voices.items()}
    for i, onset in enumerate(onsets):
        timbre = sound.timbres[i % len(sound.timbres)]
        event = _event(timbre, length, pitch[timbre], rng)
        start = int(onset * SAMPLE_RATE)
        stop = min(total, start + len(event))
        wave[start:stop] += gain * event[: stop - start]
    if hearing != CLEAN:
        drown(wave, hearing, seed, SAMPLE_RATE)
    return np.clip(wave, -1, 1).astype(np.float32)


def events(sound: Sound, seed: int, seconds: int = CLIP_SECONDS) -> list[tuple[str, float, float]]:
    """What sounds when in :func:`render_sound`: (timbre, start, end) of each event, in seconds."""
    _, onsets, length, _ = _begin(sound, seed, seconds)
    return [
        (sound.timbres[i % len(sound.timbres)], float(onset), min(float(onset) + length, seconds))
        for i, onset in enumerate(onsets)
    ]


def _begin(
    sound: Sound, seed: int, seconds: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, np.random.Generator]:
    """The background, where events start and how long they last, and the generator as it stands then."""
    rng = np.random.default_rng([seed, 2])
    noise = rng.normal(0, 1, seconds * SAMPLE_RATE)
    wave = np.convolve(noise, [0.5, 0.3, 0.2], "same") * 10 ** (rng.uniform(-52, -40) / 20)
    onsets, length = _onsets(sound, seconds, rng)
    return np.asarray(wave, np.float64), onsets, length, rng


def _onsets(sound: Sound, seconds: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Start of each event in seconds, and how long each event lasts."""
    if sound.kind == "sequence":
        slot = seconds / SLOTS
        return np.arange(SLOTS) * slot + rng.uniform(0.05, 0.2, SLOTS), rng.uniform(0.6, 0.75)
    if sound.rhythm is None:
        room = seconds - 0.5
        gap = 0.65
        free = np.sort(rng.uniform(0, room - gap * (sound.count - 1), sound.count))
        return free + gap * np.arange(sound.count), rng.uniform(0.26, 0.36)
    gaps = {
        "steady": (0.8, 0.8, 0.8),
        "quickening": (1.3, 0.8, 0.4),
        "slowing": (0.4, 0.8, 1.3),
        "paired": (0.42, 1.5, 0.42),
    }[sound.rhythm]
    spaced = np.array(gaps) * rng.uniform(0.93, 1.12) + rng.uniform(-0.04, 0.04, 3)
    onsets = np.concatenate([[0.0], np.cumsum(spaced)])
    return onsets + rng.uniform(0, seconds - 0.4 - onsets[-1]), rng.uniform(0.2, 0.27)


def _event(timbre: str, seconds: float, pitch: float, rng: np.random.Generator) -> NDArray[np.float64]:
    n = int(seconds * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    edge = np.minimum(1, np.minimum(t, t[::-1]) / 0.01)
    if timbre == "bell":
        partials = ((1.0, 1.0), (2.76, 0.6), (5.4, 0.35))
        tone = sum(a * np.sin(2 * np.pi * 620 * pitch * f * t) * np.exp(-t * (4 + 3 * f)) for f, a in partials)
        return np.asarray(tone * edge)
    if timbre == "siren":
        sweep = 750 + 350 * np.sin(2 * np.pi * t / seconds * 2 - np.pi / 2)
        return np.asarray(0.8 * np.sin(2 * np.pi * np.cumsum(sweep * pitch) / SAMPLE_RATE) * edge)
    if timbre == "drum":
        fall = 90 + 90 * np.exp(-t * 30)
        body = np.sin(2 * np.pi * np.cumsum(fall * pitch) / SAMPLE_RATE) * np.exp(-t * 9)
        click = rng.normal(0, 0.5, n) * np.exp(-t * 120)
        return np.asarray((1.3 * body + click) * edge)
    if timbre == "hiss":
        noise = rng.normal(0, 0.5, n)
        return np.asarray(np.diff(noise, prepend=noise[0]) * edge)
    if timbre == "buzz":
        phase = (t * 140 * pitch) % 1
        return np.asarray(0.7 * (2 * phase - 1) * edge)
    vibrato = 2100 * pitch * (1 + 0.015 * np.sin(2 * np.pi * 7 * t))
    return np.asarray(0.7 * np.sin(2 * np.pi * np.cumsum(vibrato) / SAMPLE_RATE) * edge)
