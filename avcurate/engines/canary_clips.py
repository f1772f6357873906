"""The built-in clips of the canary, and the error for a model that does not hear or see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avcurate.engines.base import Engine, Request, Sampling
from avcurate.errors import AvcurateError
from avcurate.media.decode import SAMPLE_RATE
from avcurate.prompts import COT

SECONDS = 4
FPS = 2.0


class NotHearing(AvcurateError):
    """A modality did not reach the model. Its answers since the last passed canary are unconfirmed."""


def canary_requests(interleaved: bool = False, *, hears: bool = True, sees: bool = True) -> dict[str, Request]:
    """The built-in requests: ``av``, ``av/other sound``, ``av/other picture``, ``a`` and ``v``.

    For a model that only hears or only sees, ``av`` shows what it takes, and there is no ``a`` or ``v``.

    Two tones and two moving bars, four seconds each, so that no shape or token count differs.
    """
    t = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    low = (0.5 * np.sin(2 * np.pi * 180 * t) * (t % 1 < 0.5)).astype(np.float32)
    high = (0.5 * np.sin(2 * np.pi * 1900 * t) * (t % 0.5 < 0.2)).astype(np.float32)
    frames = int(SECONDS * FPS)
    across = np.full((frames, 112, 112, 3), 90, np.uint8)
    down = across.copy()
    for i in range(frames):
        across[i, 30:80, 10 * i : 10 * i + 36] = (215, 40, 40)
        down[i, 10 * i : 10 * i + 36, 30:80] = (45, 80, 220)
    prompt = COT.render("What do you see and hear?", ())
    # sampled with a seed, not greedy: vLLM on CPU drops the seeds of a batch that contains one unseeded request
    # (vllm#51206); the log-probabilities compared are the same
    base = Request("canary", prompt, low, across, FPS, 1, 0, Sampling(temperature=1.0, max_tokens=1), interleaved)
    base = replace(base, audio=low if hears else None, frames=across if sees else None)
    requests = {"av": base}
    if hears:
        requests["av/other sound"] = replace(base, audio=high)
    if sees:
        requests["av/other picture"] = replace(base, frames=down)
    if hears and sees:
        requests["a"] = replace(base, frames=None, interleaved=False)
        requests["v"] = replace(base, audio=None, interleaved=False)
    return requests


def canary_of(engine: Engine, interleaved: bool = False) -> dict[str, Request]:
    """The built-in requests that the engine's model takes."""
    family = engine.family
    return canary_requests(interleaved, hears=family is None or family.hears, sees=family is None or family.sees)
