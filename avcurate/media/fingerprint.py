"""Fingerprints of sounds: near-duplicates are found however they were encoded, cut or levelled.

Bits are signs of energy differences between neighbouring bands and frames (Haitsma and Kalker, ISMIR 2002).
Knows samples; knows no files.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Prints = NDArray[np.uint32]

RATE = 16_000
WINDOW = 8192
HOP = 256
BANDS = 33
LOW_HZ, HIGH_HZ = 150.0, 4000.0
QUIET = 1e-4
MIN_SHARED = 2
COMMON = 64
SAME = 0.30
MIN_OVERLAP = 32


def fingerprint(audio: NDArray[np.float32]) -> Prints:
    """32 bits for every 16 ms of sound.

    Args:
        audio: float32 (S,) mono at 16 kHz.

    Returns:
        uint32 (F,), F = (S - 8192) // 256; 0 where it is nearly silent. Empty under 0.55 s.
    """
    frames = 1 + (len(audio) - WINDOW) // HOP if len(audio) >= WINDOW else 0
    if frames < 2:
        return np.zeros(0, np.uint32)
    edges = np.geomspace(LOW_HZ, HIGH_HZ, BANDS + 1) * WINDOW / RATE
    cells = np.unique(edges.astype(int))
    windows = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[::HOP][:frames]
    energy = np.empty((frames, BANDS))
    # in pieces: a minute of windows at once would be several hundred megabytes
    for at in range(0, frames, 256):
        power = np.abs(np.fft.rfft(windows[at : at + 256] * np.hanning(WINDOW))) ** 2
        energy[at : at + 256] = np.add.reduceat(power, cells[:-1][:BANDS], axis=1)[:, :BANDS]
    slope = energy[:, :-1] - energy[:, 1:]
    bits = (slope[1:] - slope[:-1]) > 0
    packed = (bits.astype(np.uint32) << np.arange(BANDS - 1, dtype=np.uint32)).sum(1, dtype=np.uint32)
    loud = np.sqrt((windows**2).mean(1))[1:] > QUIET
    return np.where(loud, packed, np.uint32(0)).astype(np.uint32)


def bit_error(one: Prints, other: Prints, shift: int) -> float:
    """Share of differing bits where frame ``i`` of one lies on frame ``i + shift`` of the other; 1 with little overlap.

    Returns:
        0 for the same sound, about 0.5 for two sounds that have nothing in common.
    """
    begin, end = max(0, -shift), min(len(one), len(other) - shift)
    if end - begin < MIN_OVERLAP:
        return 1.0
    a, b = one[begin:end], other[begin + shift : end + shift]
    heard = (a != 0) & (b != 0)
    if heard.sum() < MIN_OVERLAP:
        return 1.0
    return float(np.bitwise_count(a[heard] ^ b[heard]).mean() / 32)


def near_duplicates(prints: list[Prints]) -> set[tuple[int, int]]:
    """Pairs (i < j) of sounds where one is a copy of the other over at least half a second.

    Only sounds that share some frames bit for bit at one shift are compared, instead of all pairs.
    """
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for i, frames in enumerate(prints):
        for at, value in enumerate(frames.tolist()):
            if value:
                places[value].append((i, at))
    shared: dict[tuple[int, int, int], int] = defaultdict(int)
    for occurrences in places.values():
        # bits that many sounds share carry no information
        if 1 < len(occurrences) <= COMMON:
            for (i, a), (j, b) in combinations(occurrences, 2):
                if i != j:
                    shared[i, j, b - a] += 1
    same: set[tuple[int, int]] = set()
    for (i, j, shift), count in shared.items():
        if count >= MIN_SHARED and (i, j) not in same and bit_error(prints[i], prints[j], shift) < SAME:
            same.add((i, j))
    return same
