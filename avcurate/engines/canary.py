"""Proof that each modality reaches the model: built-in clips whose only difference must be noticed.

Engines have served stale or missing audio without an error (vLLM's multimodal caches with audio in
video, for one). The canary compares what the model receives, and how it would begin to answer, for
clips of equal length that differ in the sound alone, or in the picture alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from avcurate.engines.base import Engine, Perception, Request, Sampling
from avcurate.errors import AvcurateError
from avcurate.media.decode import SAMPLE_RATE
from avcurate.prompts import COT

SECONDS = 4
FPS = 2.0
LEAST_CHANGE = 1e-4


class NotHearing(AvcurateError):
    """A modality did not reach the model. What it answered since the last passed canary is unconfirmed."""


def canary_requests(interleaved: bool = False) -> dict[str, Request]:
    """The built-in requests: ``av``, ``av/other sound``, ``av/other picture``, ``a`` and ``v``.

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
    # sampled with a seed, not greedy: vLLM on CPU forgets the seeds of a batch that holds one unseeded request
    # (vllm#51206); the log-probabilities looked at are the same
    base = Request("canary", prompt, low, across, FPS, 1, 0, Sampling(temperature=1.0, max_tokens=1), interleaved)
    return {
        "av": base,
        "av/other sound": replace(base, audio=high),
        "av/other picture": replace(base, frames=down),
        "a": replace(base, frames=None, interleaved=False),
        "v": replace(base, audio=None, interleaved=False),
    }


def check_hearing(engine: Engine, interleaved: bool = False) -> None:
    """Show the engine the built-in clips and compare what it perceived.

    Raises:
        NotHearing: a modality was not delivered, or a change of it was not noticed.
    """
    if engine.hearing == "behaviour":
        from avcurate.engines.behaviour import check_behaviour

        check_behaviour(engine)
        return
    if not engine.perceives:
        return
    requests = canary_requests(interleaved)
    saw = {name: engine.perceive(r) for name, r in requests.items()}
    again = engine.perceive(requests["av"])
    for name, request in requests.items():
        _check_tokens(engine, name, request, saw[name])
    for one, of in (("a", "audio_tokens"), ("v", "video_tokens")):
        if getattr(saw[one], of) != getattr(saw["av"], of):
            _fail(
                engine,
                f"{of.replace('_', ' ')} differ between {one} and av: the same clip is not delivered whole",
            )
    noise = change(saw["av"].logprobs, again.logprobs)
    for name, what in (("av/other sound", "sound"), ("av/other picture", "picture")):
        moved = change(saw["av"].logprobs, saw[name].logprobs)
        if moved <= max(LEAST_CHANGE, 3 * noise):
            _fail(
                engine,
                f"changing only the {what} changes no log-probability (largest change {moved:.1e}, "
                f"between equal requests {noise:.1e}): the {what} is missing or stale",
            )


def _check_tokens(engine: Engine, name: str, request: Request, saw: Perception) -> None:
    wanted = engine.expected_tokens(request)
    for what, given, got, i in (
        ("audio", request.audio, saw.audio_tokens, 0),
        ("video", request.frames, saw.video_tokens, 1),
    ):
        if got < 0:
            continue
        if (given is not None) != (got > 0):
            _fail(engine, f"request {name!r} received {got} {what} tokens")
        if wanted is not None and got != wanted[i]:
            _fail(engine, f"request {name!r} received {got} {what} tokens, {wanted[i]} were sent")


def change(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Largest change of a log-probability; infinite where the likely tokens differ altogether."""
    shared = one.keys() & other.keys()
    if not one or not other:
        return 0.0
    if len(shared) < min(len(one), len(other)) / 2:
        return float("inf")
    return max(abs(one[t] - other[t]) for t in shared)


def _fail(engine: Engine, what: str) -> None:
    raise NotHearing(
        f"{engine.name} does not hear or see: {what}.",
        "Run `avcurate doctor`; caches, use_audio_in_video and processor versions are the usual causes.",
    )
