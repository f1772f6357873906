"""Pairing 20,000 captions: time against greedy loops over clips, peak memory against one matrix of all pairs.

One loop keeps the same rules as ours (source, level, length, both captions), clip by clip; the other looks at the
similarity of captions alone, which is less than the task, but all that a quick script would do.

Vectors are drawn around 400 topics, as captions lie around kinds of sounds; no caption is embedded on either side.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from avcurate.metrics.assignment import NONE, assign
from avcurate.metrics.pairing import Captions, Catalogue, Limits, compare, cost
from benchmarks.harness import seconds

N, D, PART = 20_000, 384, 1000
LIMITS = Limits(threshold=0.3, longest_loop=4.0, least_level=-55.0, most_gain=30.0)


def catalogue(n: int = N) -> Catalogue:
    """Random captions, one per clip."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(400, D)).astype(np.float32)
    vectors = topics[rng.integers(400, size=n)] + 0.8 * rng.normal(size=(n, D)).astype(np.float32)
    vectors += 0.5 * rng.normal(size=D).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    none = np.zeros(n + 1, np.int64)
    unknown = np.full(n, np.nan)
    return Catalogue(
        audio=Captions(vectors, np.arange(n + 1)),
        video=Captions(vectors[:0], none),
        source=np.arange(n),
        sound=np.arange(n),
        picture_seconds=unknown,
        sound_seconds=unknown,
        level=unknown,
        answers=((),) * n,
        said=("",) * n,
    )


def blocks(clips: Catalogue) -> np.ndarray:
    """Ours: exact in blocks, dealt three times."""
    n = len(clips.source)
    return assign(lambda t, d: cost(*compare(clips, t, d, LIMITS)), np.arange(n), block=2048, rounds=3, seed=0)


def ruled(clips: Catalogue) -> np.ndarray:
    """A loop under the same rules: each clip in turn takes the cheapest donor that is free and allowed.

    Every turn looks at all donors, so the first ``PART`` clips are timed and the rest extrapolated.
    """
    n = len(clips.source)
    free, donors, everyone = np.ones(n, bool), np.full(n, NONE), np.arange(n)
    for i in range(PART):
        price = cost(*compare(clips, np.array([i]), everyone, LIMITS))[0]
        price = np.where(free & np.isfinite(price), price, np.inf)
        price[i] = np.inf
        best = int(price.argmin())
        if np.isfinite(price[best]):
            donors[i], free[best] = best, False
    return donors


def greedy(clips: Catalogue) -> np.ndarray:
    """The quick script: each clip in turn takes the free donor whose caption is least similar."""
    vectors, n = clips.audio.vectors, len(clips.source)
    free, donors = np.ones(n, bool), np.full(n, NONE)
    for i in range(n):
        similar = np.where(free, vectors @ vectors[i], np.inf)
        similar[i] = np.inf
        best = int(similar.argmin())
        if similar[best] < LIMITS.threshold:
            donors[i], free[best] = best, False
    return donors


def bare(clips: Catalogue) -> np.ndarray:
    """scipy's assignment alone on the same blocks, dealt three times, by the similarity of captions and no other rule.

    What is kept of an earlier deal is what is cheaper, as ours does.
    """
    from scipy.optimize import linear_sum_assignment

    n, vectors = len(clips.source), clips.audio.vectors
    donors, price = np.full(n, NONE), np.full(n, np.inf)
    for deal in range(3):
        order = np.random.default_rng(deal).permutation(n)
        for first in range(0, n, 2048):
            some = order[first : first + 2048]
            similar = vectors[some] @ vectors[some].T
            np.fill_diagonal(similar, 1e3)
            rows, columns = linear_sum_assignment(similar)
            if similar[rows, columns].sum() < price[some].sum():
                donors[some], price[some] = some[columns], similar[rows, columns]
    donors[price >= LIMITS.threshold] = NONE
    return donors


def full(clips: Catalogue) -> np.ndarray:
    """All pairs in memory, then one exact assignment."""
    from scipy.optimize import linear_sum_assignment

    similar = (clips.audio.vectors @ clips.audio.vectors.T).astype(np.float64)
    np.fill_diagonal(similar, 1e3)
    similar[similar >= LIMITS.threshold] = 1e3
    return np.asarray(linear_sum_assignment(similar)[1])


def total(clips: Catalogue, donors: np.ndarray) -> dict[str, float]:
    """Pairs made, and their mean similarity."""
    t = np.flatnonzero(donors != NONE)
    cosines = (clips.audio.vectors[t] * clips.audio.vectors[donors[t]]).sum(1)
    good = cosines < LIMITS.threshold
    return {"pairs": int(good.sum()), "mean_similarity": round(float(cosines[good].mean()), 4)}


def peak_mb(way: str) -> float:
    """Peak resident memory of a child process that runs one way, megabytes above its start."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.pair", way], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _resident(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def main() -> None:
    """Print the two ratios and what each way achieves."""
    if len(sys.argv) > 1:
        clips = catalogue()
        before = _resident("VmRSS")
        {"blocks": blocks, "full": full}[sys.argv[1]](clips)
        print(_resident("VmHWM") - before)
        return
    clips, donors = catalogue(), {}
    times = {}
    for name, way in (("blocks", blocks), ("bare", bare), ("greedy", greedy), ("ruled", ruled)):
        times[name] = seconds(lambda name=name, way=way: donors.update({name: way(clips)}))
        print(json.dumps({"what": f"pair 20,000: {name}", **total(clips, donors[name])}), flush=True)
    times["ruled"] *= N / PART
    for name, what in (
        ("ruled", "loop with the same rules, extrapolated"),
        ("greedy", "loop over similarities alone"),
        ("bare", "linear_sum_assignment on the same blocks, no rules"),
    ):
        ratio = round(times[name] / times["blocks"], 2)
        print(json.dumps({"what": f"pair 20,000: {what} / exact blocks, time", "ratio": ratio}), flush=True)
    memory = {way: peak_mb(way) for way in ("blocks", "full")}
    ratio = round(memory["full"] / memory["blocks"], 1)
    print(json.dumps({"what": "pair 20,000: matrix of all pairs / exact blocks, peak memory", "ratio": ratio}))


if __name__ == "__main__":
    main()
