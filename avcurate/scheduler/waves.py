"""Whether asking in waves pays on an engine: a short measurement before the first question.

A further wave is a further request. Where one costs little beside a response, asking a few responses first and stopping
early saves time; where it does not (a server that is far away or busy with requests rather than tokens), the responses
saved cost more than they are worth. About one request comes with each response that waves save.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

from avcurate.engines.base import Engine, Failure, ListSource, Request, Sampling
from avcurate.engines.canary_clips import canary_of
from avcurate.scheduler.spec import AskSpec
from avcurate.seeds import derive_seed

LOG = logging.getLogger("avcurate.scheduler")
REQUESTS, EACH = 8, 4
MARGIN = 2.0
"""How many times a response must cost what a request does."""
QUESTION, CHOICES = "What is heard and seen here?", ["a bell", "a dog", "a car", "a voice"]


def measure_waves(engine: Engine, spec: AskSpec) -> dict[str, Any]:
    """``waves``, whether they pay, and the seconds that a request and a response cost, many of them in flight.

    Not, where a request fails.
    """
    shown = next(reversed(canary_of(engine, spec.interleaved).values()))
    asked = replace(shown, prompt=spec.prompt.render(QUESTION, CHOICES), sampling=spec.sampling)
    short = replace(asked, n=1, sampling=Sampling(max_tokens=1))
    _spend(engine, short)  # the first requests send the clip, and find how many the engine takes
    bare, whole = _spend(engine, short), _spend(engine, replace(asked, n=EACH))
    if bare is None or whole is None:
        return {"waves": False}
    request, response = bare / REQUESTS, max(0.0, whole - bare) / (REQUESTS * EACH)
    pays = response >= MARGIN * request
    LOG.info(
        "a request costs %.1f ms, a response %.1f ms: asked %s",
        1000 * request,
        1000 * response,
        "in waves" if pays else "a setting at a time",
    )
    return {"waves": pays, "request_ms": round(1000 * request, 2), "response_ms": round(1000 * response, 2)}


def _spend(engine: Engine, like: Request) -> float | None:
    """Seconds that as many requests take at once; ``None``: one failed."""
    requests = [replace(like, key=f"waves {i}", seed=derive_seed("waves", i)) for i in range(REQUESTS)]
    began = time.perf_counter()
    replies = list(engine.generate(ListSource(requests)))
    spent = time.perf_counter() - began
    return None if any(isinstance(r, Failure) for r in replies) else spent
