"""Proof that each modality reaches the model: built-in clips whose only difference must be noticed.

Engines have served stale or missing audio without an error (vLLM's multimodal caches with audio in
video, for one). The canary compares what the model receives, and how it would begin to answer, for
clips of equal length that differ in the sound alone, or in the picture alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from avcurate.engines.base import Engine, Perception, Request
from avcurate.engines.behaviour import check_behaviour
from avcurate.engines.canary_clips import NotHearing, canary_of

MIN_CHANGE = 1e-4


def check_hearing(engine: Engine, interleaved: bool = False) -> None:
    """Show the engine the built-in clips and compare what it perceived.

    Raises:
        NotHearing: a modality was not delivered, or a change of it was not noticed.
    """
    if engine.hearing == "behaviour":
        check_behaviour(engine)
        return
    if not engine.perceives:
        return
    requests = canary_of(engine, interleaved)
    *shown, repeat = engine.perceive_all([*requests.values(), requests["av"]])
    perceived = dict(zip(requests, shown, strict=True))
    for name, request in requests.items():
        _check_tokens(engine, name, request, perceived[name])
    for name, field in (("a", "audio_tokens"), ("v", "video_tokens")):
        if name in perceived and getattr(perceived[name], field) != getattr(perceived["av"], field):
            _fail(
                engine,
                f"{field.replace('_', ' ')} differ between {name} and av: the same clip is not delivered whole",
            )
    noise = change(perceived["av"].logprobs, repeat.logprobs)
    for name, what in (("av/other sound", "sound"), ("av/other picture", "picture")):
        if name not in perceived:
            continue
        largest = change(perceived["av"].logprobs, perceived[name].logprobs)
        if largest <= max(MIN_CHANGE, 3 * noise):
            _fail(
                engine,
                f"changing only the {what} changes no log-probability (largest change {largest:.1e}, "
                f"between equal requests {noise:.1e}): the {what} is missing or stale",
            )


def _check_tokens(engine: Engine, name: str, request: Request, perceived: Perception) -> None:
    expected = engine.expected_tokens(request)
    for what, sent, received, i in (
        ("audio", request.audio, perceived.audio_tokens, 0),
        ("video", request.frames, perceived.video_tokens, 1),
    ):
        if received < 0:
            continue
        if (sent is not None) != (received > 0):
            _fail(engine, f"request {name!r} received {received} {what} tokens")
        if expected is not None and received != expected[i]:
            _fail(engine, f"request {name!r} received {received} {what} tokens, {expected[i]} were sent")


def change(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Largest change of a log-probability; infinite where they share fewer than half of the likely tokens."""
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
