"""Whether a model, through an engine, does what labelling relies on, on the user's own machine.

Every check yields a finding, never a crash; what an engine cannot show is reported as such.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from avcurate.engines.base import Engine, Failure, ListSource, Reply, Request, Sampling
from avcurate.engines.canary import change, check_hearing
from avcurate.engines.canary_clips import FPS, NotHearing, canary_of, canary_requests
from avcurate.errors import AvcurateError
from avcurate.media.decode import SAMPLE_RATE, DecodeSpec
from avcurate.metrics.answers import parse_answer
from avcurate.prompts import Prompt

# at and around whole hops, and an AAC clip of ten seconds
SAMPLES = (16_000, 16_001, 32_800, 47_999, 160_125)
SIZES = ((4, 240, 320), (2, 64, 64), (8, 360, 640), (4, 100, 900))
CHOICES = ("red", "blue", "green", "a drum")
READABLE, CUT = 0.5, 0.1
NEIGHBOURS = 5
# questions whose responses are timed together
AT_ONCE = 8
# most that a neighbour in the batch may change, as a share of what another sound changes
SHARE_OF_SIGNAL = 0.05
# largest change that equal neighbours may make before it is no longer taken for rounding
ROUNDING = 0.05
State = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One check. ``figures`` holds its numbers by name."""

    what: str
    state: State
    about: str
    figures: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What a run will ask, from its recipe.

    Attributes:
        prompt: the prompt for the questions.
        n: responses per setting.
        sampling: temperature, longest response.
        media: how clips are decoded.
        interleaved: whether sound goes inside the video.
        context: longest prompt and response together, tokens; 0: unknown.
    """

    prompt: Prompt
    n: int
    sampling: Sampling
    media: DecodeSpec
    interleaved: bool = False
    context: int = 0


def conformance(engine: Engine, asked: Asked, tell: Callable[[Finding], None] = lambda f: None) -> list[Finding]:
    """Set an engine up, check it, and close it.

    Raises:
        AvcurateError: it cannot be set up at all.
    """
    began = time.monotonic()
    engine.setup()
    findings = [Finding("loading", "ok", f"ready after {time.monotonic() - began:.0f} s.", {})]
    tell(findings[0])
    try:
        for check in (_hearing, _counts, _settings, _seeds, _neighbours, _context, _answers):
            try:
                results = list(check(engine, asked))
            except AvcurateError as e:
                results = [Finding(check.__name__.strip("_"), "problem", str(e), {})]
            for finding in results:
                tell(finding)
            findings += results
    finally:
        engine.close()
    return findings


def _hearing(engine: Engine, asked: Asked) -> Iterator[Finding]:
    """Another sound, or another picture, changes what the model would say."""
    if engine.hearing == "none":
        yield Finding("hearing", "note", f"{engine.name} plays stored answers: there is nothing to hear.", {})
        return
    try:
        check_hearing(engine, asked.interleaved)
        yield Finding("hearing", "ok", "sound and picture reach it, alone and together, and a change is noticed.", {})
    except NotHearing as e:
        yield Finding("hearing", "problem", str(e), {})


def refuse_miscounts(engine: Engine) -> None:
    """The short form, before every run: two odd lengths and two odd sizes.

    Raises:
        NotHearing: an engine counts otherwise than the family file, so clips of such lengths would be lost.
    """
    if engine.hearing != "canary":
        return
    wrong, checked = _miscounted(engine, SAMPLES[1::3], SIZES[::3])
    if wrong:
        raise NotHearing(
            f"{engine.name} receives other media tokens than were sent: {wrong[0]}; {len(wrong)} of {checked} differ.",
            "Clips like these would be lost; `avcurate check` says more. Is it the model's own processor?",
        )


def _counts(engine: Engine, asked: Asked) -> Iterator[Finding]:
    """Media tokens at odd lengths and sizes match those computed by the family file."""
    if not engine.perceives:
        return
    wrong, checked = _miscounted(engine, SAMPLES, SIZES)
    if wrong:
        yield Finding("token counts", "problem", f"{wrong[0]}; {len(wrong)} of {checked} differ.", {"wrong": wrong})
    elif checked:
        about = f"as expected at {checked} odd lengths and sizes: no clip will be lost to a miscount."
        yield Finding("token counts", "ok", about, {"checked": checked})
    else:
        yield Finding("token counts", "note", "this engine or family reports none: a lost clip would go unnoticed.", {})


def _miscounted(
    engine: Engine, lengths: Sequence[int], shapes_of_frames: Sequence[tuple[int, int, int]]
) -> tuple[list[str], int]:
    """Lengths and sizes whose tokens are not those expected, and how many were compared."""
    base = canary_of(engine)["av"]
    wrong, checked = [], 0
    sounds: list[int | None] = [n for n in lengths if base.audio is not None]
    sizes = [s for s in shapes_of_frames if base.frames is not None]
    shapes = [(n, None) for n in sounds] + [(None, s) for s in sizes] + list(zip(sounds[-1:], sizes[:1], strict=False))
    for samples, size in shapes:
        request = replace(
            base,
            audio=None if samples is None else _noise(samples),
            frames=None if size is None else np.full((*size, 3), 90, np.uint8),
        )
        expected = engine.expected_tokens(request)
        perceived = engine.perceive(request)
        received = (perceived.audio_tokens, perceived.video_tokens)
        if expected is None or min(received) < 0:
            continue
        checked += 1
        if received != expected:
            wrong.append(f"{samples or 0} samples, frames {size or 'none'}: {received} received, {expected} expected")
    return wrong, checked


def _noise(samples: int) -> Any:
    return (0.1 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)


def _settings(engine: Engine, asked: Asked) -> Iterator[Finding]:
    """A zeroed modality costs the same tokens as the real one; the interleaved layout works where the run uses it."""
    if not engine.perceives:
        return
    base = canary_of(engine, asked.interleaved)["av"]
    if base.audio is None or base.frames is None:
        return
    whole = engine.perceive(base)
    for name, zeroed in (
        ("silence", replace(base, audio=np.zeros_like(base.audio))),
        ("black frames", replace(base, frames=np.zeros_like(base.frames))),
    ):
        perceived = engine.perceive(zeroed)
        same = perceived.prompt_tokens == whole.prompt_tokens
        state: State = "ok" if same else "problem"
        yield Finding(
            f"zeroed by {name}",
            state,
            "costs the same tokens." if same else f"{perceived.prompt_tokens} tokens instead of {whole.prompt_tokens}.",
            {},
        )


def _replies(engine: Engine, requests: list[Request]) -> dict[str, Reply]:
    replies = {}
    for reply in engine.generate(ListSource(requests)):
        if isinstance(reply, Failure):
            raise AvcurateError(f"request {reply.key} failed ({reply.reason}): {reply.message}", reply.hint)
        replies[reply.key] = reply
    return replies


def _seeds(engine: Engine, asked: Asked) -> Iterator[Finding]:
    """n responses come back, differ when sampled, and repeat for the same seeds."""
    base = (
        canary_of(engine)["av"]
        if engine.hearing != "none"
        else replace(canary_requests()["av"], audio=None, frames=None)
    )
    request = replace(base, key="seeds", n=asked.n, seed=11, sampling=replace(asked.sampling, max_tokens=24))
    first = [r.text for r in _replies(engine, [request])["seeds"].responses]
    second = [r.text for r in _replies(engine, [request])["seeds"].responses]
    if len(first) != asked.n:
        yield Finding("responses", "problem", f"{len(first)} of {asked.n} responses came back.", {})
    elif first == second:
        alike = len(set(first)) == 1 and asked.n > 1 and asked.sampling.temperature > 0
        about = f"{asked.n} come back and repeat for the same seeds" + (", though all are identical." if alike else ".")
        yield Finding("responses", "note" if alike else "ok", about, {})
    else:
        same = sum(a == b for a, b in zip(first, second, strict=True))
        about = f"only {same} of {asked.n} repeat for the same seeds: a resumed run is not bit-identical."
        yield Finding("responses", "note", about, {"same": same})


def _neighbours(engine: Engine, asked: Asked) -> Iterator[Finding]:
    """What a request would say does not depend on the requests around it."""
    if not engine.perceives:
        return
    greedy = Sampling(temperature=0.0, max_tokens=1, first_logprobs=20)
    # not a whole number of hops, beside longer clips
    base = replace(canary_of(engine)["av"], key="r", audio=_noise(32_801), sampling=greedy)
    others = [replace(base, key=f"o{i}", audio=_noise(48_000 + 5 * i)) for i in range(NEIGHBOURS)]

    def first(requests: list[Request]) -> dict[str, float]:
        return _replies(engine, requests)["r"].first_logprobs or {}

    copies = [replace(base, key=f"c{i}") for i in range(NEIGHBOURS)]
    alone, again, among, company = first([base]), first([base]), first([base, *others]), first([base, *copies])
    other = first([replace(base, audio=_noise(32_801)[::-1].copy() * 3)])
    if not alone or not among:
        yield Finding("batch neighbours", "note", "this engine gives no log-probabilities to compare.", {})
        return
    # a larger batch takes other kernels, whose sums round differently: in bfloat16 that is no small change
    noise = max(change(alone, again), min(change(alone, company), ROUNDING))
    moved, signal = change(alone, among), change(alone, other)
    figures = {"neighbours": moved, "repeat": noise, "another sound": signal}
    bad = moved > max(3 * noise, SHARE_OF_SIGNAL * signal, 1e-5)
    by = f"another sound moves it by {signal:.1e}, a repeat or copies of itself by {noise:.1e}"
    about = f"move a log-probability by {moved:.1e}; {by}."
    yield Finding("batch neighbours", "problem" if bad else "ok", about, figures)


def _context(engine: Engine, asked: Asked) -> Iterator[Finding]:
    """The longest clip that the recipe shows fits, with its response."""
    media, seconds = asked.media, asked.media.max_seconds
    frames = min(media.max_frames, int(seconds * media.fps)) // 2 * 2
    side = int(media.max_pixels**0.5) // 2 * 2
    family, base = engine.family, canary_of(engine)["av"]
    heard = seconds if family is None else min(seconds, family.longest_sound)
    request = replace(
        base,
        audio=None if base.audio is None else np.zeros(int(heard * SAMPLE_RATE), np.float32),
        frames=None if base.frames is None else np.zeros((max(2, frames), side, side, 3), np.uint8),
    )
    expected = engine.expected_tokens(request)
    if expected is None or not asked.context:
        yield Finding("context", "note", "cannot be computed for this engine or family.", {})
        return
    longest = sum(expected) + 200 + asked.sampling.max_tokens
    fits = longest <= asked.context
    worst_case = f"the longest clip ({seconds:g} s, {frames} frames) and its response"
    about = f"{worst_case} take {longest:,} tokens of {asked.context:,}."
    hint = "" if fits else " Lower media.max_seconds, max_frames or max_pixels, or raise model.max_model_len."
    yield Finding("context", "ok" if fits else "problem", about + hint, {"longest": longest, "context": asked.context})


def _answers(engine: Engine, asked: Asked) -> Iterator[Finding]:
    """Answers follow the recipe's format and are not cut off; reports speed and memory."""
    requests = []
    for name, canary in canary_of(engine).items():
        if "/" not in name:
            prompt = asked.prompt.render(f"What is seen or heard, {name}?", CHOICES)
            media = (canary.audio, canary.frames) if engine.hearing != "none" else (None, None)
            requests.append(
                Request(f"{name}", prompt, *media, FPS, asked.n, 7, replace(asked.sampling, first_logprobs=0))
            )
    replies = _replies(engine, requests)
    texts = [r for reply in replies.values() for r in reply.responses]
    readable = sum(parse_answer(asked.prompt.read(r.text), CHOICES) is not None for r in texts) / max(1, len(texts))
    cut = sum(r.finish_reason == "length" for r in texts) / max(1, len(texts))
    unreadable = next((r.text for r in texts if parse_answer(asked.prompt.read(r.text), CHOICES) is None), "")
    about = f"{readable:.0%} of {len(texts)} answers can be read, {cut:.0%} are cut off."
    if readable < READABLE:
        about += f" Prompt {asked.prompt.name} is not followed; one answer: {' '.join(unreadable.split())[:80]!r}."
    elif cut > CUT:
        about += " Raise sampling.max_tokens."
    state: State = "problem" if readable < READABLE else "note" if cut > CUT else "ok"
    yield Finding("answers", state, about, {"readable": readable, "cut": cut})
    busy = [_another(r, i) for i in range(AT_ONCE) for r in requests]
    began = time.monotonic()
    replies = _replies(engine, busy)
    seconds = time.monotonic() - began
    tokens = sum(x.tokens for reply in replies.values() for x in reply.responses)
    per_hour = 3600 * AT_ONCE / max(seconds, 1e-6)
    rates = f"{tokens / seconds:,.0f} response tokens a second, {per_hour:,.0f} questions an hour"
    about = f"{rates} on clips of 4 s, {AT_ONCE} at once."
    yield Finding("speed", "ok", about, {"tokens_per_second": tokens / seconds, "questions_per_hour": per_hour})
    yield Finding("memory", "ok", _memory(), {})


def _another(request: Request, number: int) -> Request:
    """The same clip but for one sample and one pixel, so that no cache of the engine's answers for it."""
    audio = None if request.audio is None else request.audio.copy()
    frames = None if request.frames is None else request.frames.copy()
    if audio is not None:
        audio[0] = 0.01 * (number + 1)
    if frames is not None:
        frames[0, 0, 0] = number
    return replace(request, key=f"{number}/{request.key}", seed=100 * number, audio=audio, frames=frames)


def _memory() -> str:
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    text = f"{peak:.1f} GiB peak in this process."
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        text += f" {torch.cuda.max_memory_allocated() / (1 << 30):.1f} GiB peak on the accelerator."
    return text
