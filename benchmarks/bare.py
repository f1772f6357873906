"""The sampling stage of ``label-pem`` against the same requests without it: ``vllm`` (the default) or ``server``.

Bare is one ``LLM.generate`` over all requests, or an asynchronous client that posts them with as many in flight as we
allow ourselves. Ours includes canaries, exhaustive sampling, parsing and outcomes. Clips are decoded beforehand on both
sides; prompts are rendered, and frames encoded for the server, once a clip, on both. Turns alternate, caches are
dropped before each, and time is compared per generated token.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from avcurate.engines.base import Engine, Request
from avcurate.engines.wire import Encoder, body_of
from avcurate.media import cache
from avcurate.media.decode import DecodedClip, decode
from avcurate.scheduler.ability import decode_spec
from avcurate.tasks import sampling
from avcurate.tasks.label_pem.recipe import LabelPemRecipe
from benchmarks.early_exit import questions_in, turn
from benchmarks.engines import opened

TURNS = 5


class Decoded:
    """Clips by name, in place of the cache that decodes."""

    clips: dict[str, DecodedClip]

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def get(self, media: str, start: float | None, end: float | None) -> Future[DecodedClip]:
        """The clip, at once."""
        future: Future[DecodedClip] = Future()
        future.set_result(self.clips[media])
        return future

    def ahead(self) -> int:
        """As the cache's least."""
        return cache.LEAST_AHEAD

    def close(self) -> None:
        """Nothing is open."""


def asked(engine: Any, work: Any, method: str) -> list[Request]:
    """The requests that ``work`` makes of the engine, canaries aside."""
    seen: list[Request] = []
    own = getattr(engine, method)

    def record(request: Request, *arguments: Any) -> Any:
        if "canary" not in request.key:
            seen.append(request)
        return own(request, *arguments)

    setattr(engine, method, record)
    work()
    delattr(engine, method)
    return seen


def bare_vllm(engine: Any, requests: list[Request]) -> int:
    """Tokens of one call of ``LLM.generate``."""
    prompts = [engine._prompt(r) for r in requests]
    outputs = engine._llm.generate(prompts, [engine._parameters(r) for r in requests], use_tqdm=False)
    return sum(len(o.token_ids) for output in outputs for o in output.outputs)


def bare_client(engine: Any, requests: list[Request]) -> int:
    """Tokens that an asynchronous client gets, all requests under one semaphore."""
    encoder, url = Encoder(engine.options["frame_format"]), f"{engine.urls[0]}/chat/completions"

    def body(request: Request) -> dict[str, Any]:
        made = body_of(request, engine.model, encoder, engine.family.request_arguments(request.fps, False))
        return made | {"logit_bias": {str(i): -100 for i in engine.checkpoint.never_sampled}}

    async def work() -> int:
        gate = asyncio.Semaphore(engine.spec.max_sequences)
        async with httpx.AsyncClient(timeout=600) as client:

            async def one(request: Request) -> int:
                async with gate:
                    reply = await client.post(url, json=body(request))
                return int(reply.raise_for_status().json()["usage"]["completion_tokens"])

            return sum(await asyncio.gather(*(one(r) for r in requests)))

    return asyncio.run(work())


def forget(engine: Any) -> None:
    """Drop the caches of prompts and media."""
    if engine.name == "vllm":
        engine._llm.reset_prefix_cache()
        engine._llm.llm_engine.reset_mm_cache()
        return
    for name in ("reset_prefix_cache", "reset_mm_cache", "reset_encoder_cache"):
        httpx.post(f"{engine.urls[0].removesuffix('/v1')}/{name}").raise_for_status()
    engine._sent = {url: type(sent)() for url, sent in engine._sent.items()}


def compare(engine: Engine, recipe: LabelPemRecipe, rows: list[dict[str, Any]]) -> None:
    """Print the ratio of seconds per token, median over turns."""
    requests = asked(engine, lambda: turn(engine, recipe, rows, None), "_add" if engine.name == "vllm" else "_ask")
    ways = {
        "ours": lambda: turn(engine, recipe, rows, None)[1],
        "bare": lambda: (bare_vllm if engine.name == "vllm" else bare_client)(engine, requests),
    }
    ratios, tokens = [], {}
    for i in range(TURNS):
        spent = {}
        for name in sorted(ways, reverse=bool(i % 2)):
            forget(engine)
            start = time.perf_counter()
            tokens[name] = ways[name]()
            spent[name] = (time.perf_counter() - start) / tokens[name]
        ratios.append(spent["ours"] / spent["bare"])
    against = "one bare LLM.generate" if engine.name == "vllm" else "a bare async client"
    line = {"what": f"label-pem's sampling / {against}, seconds a token", "ratio": round(statistics.median(ratios), 3)}
    print(json.dumps(line | {"each_turn": [round(r, 3) for r in ratios], "tokens": tokens}), flush=True)


def main() -> None:
    """Compare on one engine."""
    name = sys.argv[1] if len(sys.argv) > 1 else "vllm"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        recipe, rows = questions_in(Path(folder), name)
        assert recipe.input.media is not None
        engine = opened(name, Path(folder), stack)
        decoding = decode_spec(engine, recipe.spec())
        Decoded.clips = {r["media"]: decode(recipe.input.media / r["media"], decoding) for r in rows}
        sampling.ClipCache = Decoded  # type: ignore[assignment, misc]
        compare(engine, recipe, rows)


if __name__ == "__main__":
    main()
