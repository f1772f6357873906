"""Answers through OpenAI-compatible vLLM servers: several addresses, retries, adaptive concurrency.

Start each with ``--trust-request-mm-kwargs --enable-prompt-tokens-details``: the frame rate is sent
with every request, and the token counts that come back prove that each modality arrived.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import httpx
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from avcurate.engines.base import Engine, Failure, Perception, Reply, Request, Response, Source, text_logprobs
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.deadline import bounded, deadline
from avcurate.engines.http import Busy, Refused, post_json
from avcurate.engines.wire import Encoder, body_of, media_of, without_sent
from avcurate.errors import UserError
from avcurate.families.base import Family
from avcurate.recipe import ModelSpec

TOP = 20
POLL_SECONDS = 0.05
MOST_SENT = 32
"""Clips that a server is taken to hold: those of the questions in flight."""


class ServerEngine(Engine):
    """A model behind one or several servers.

    ``ModelSpec.options``: ``timeout_s`` (600, for a whole answer), ``attempts`` (6), ``frame_format`` (PNG, or JPEG
    for less traffic), ``send_once`` (true: vLLM keeps a clip by its digest, and later requests name it),
    ``max_wait_s`` (60, longest back-off). The API key comes from the environment variable
    ``AVCURATE_API_KEY`` or ``OPENAI_API_KEY`` and is written nowhere.
    """

    name = "server"
    keeps_prompts = True
    far = True
    answers_aside = True
    defaults: ClassVar[dict[str, Any]] = {
        "timeout_s": 600.0,
        "attempts": 6,
        "frame_format": "PNG",
        "send_once": True,
        "max_wait_s": 60.0,
    }

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.checkpoint = Checkpoint.of(spec)
        if self.name == "server" and self.checkpoint.family is not None:
            self.checkpoint.family_in(self.name)
        unknown = set(spec.options) - set(self.defaults)
        if "api_key" in unknown:
            raise UserError(
                "an API key does not belong in a recipe.", "Set it in the environment variable AVCURATE_API_KEY."
            )
        if unknown:
            raise UserError(
                f"the {self.name} engine has no option {sorted(unknown)[0]!r}.", f"It has: {', '.join(self.defaults)}."
            )
        self.options: dict[str, Any] = self.defaults | spec.options
        self.urls = [u.rstrip("/") for u in spec.urls]
        if not self.urls:
            raise UserError(f"the {self.name} engine needs an address.", "Give --url http://host:8000/v1.")
        self._lock = threading.Lock()
        self._load = dict.fromkeys(self.urls, 0)
        self.answered_by: dict[str, dict[str, Any]] = {}
        self._sent: dict[str, OrderedDict[str, None]] = {url: OrderedDict() for url in self.urls}
        self.encoder = Encoder(self.options["frame_format"])
        self.limit = 4.0 * len(self.urls)
        self._grows = True

    def identity(self) -> dict[str, Any]:
        """The model; addresses do not matter. Which commit a server loaded it does not say, so none is claimed."""
        named = {k: v for k, v in self.checkpoint.identity().items() if k != "commit"}
        return {
            "engine": self.name,
            **({"revision": self.checkpoint.revision} if self.checkpoint.folder is None else {}),
            **named,
            "frame_format": self.options["frame_format"],
        }

    def setup(self) -> None:
        """Ask every server for its models; dead addresses are named."""
        key = os.environ.get("AVCURATE_API_KEY") or os.environ.get("OPENAI_API_KEY") or ""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._client = bounded(httpx.Client(timeout=self.options["timeout_s"], headers=headers, limits=limits))
        for url in self.urls:
            try:
                with deadline(20):
                    reply = self._client.get(f"{url}/models", timeout=20).raise_for_status().json()
                served = {str(m["id"]): m for m in reply["data"]}
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as e:
                raise UserError(
                    f"no OpenAI-compatible server answers at {url}: {e}",
                    "Start it, or check --url (it ends in /v1).",
                ) from None
            self.model = self._name_at(url, list(served))
            card = served[self.model]
            self.answered_by[url] = {k: card[k] for k in ("id", "root", "max_model_len") if card.get(k) is not None}
        self._pool = ThreadPoolExecutor(max(self.spec.max_sequences * len(self.urls), 4), thread_name_prefix="ask")

    def _name_at(self, url: str, served: list[str]) -> str:
        """The model's name at a server that serves these.

        Raises:
            UserError: it serves other models, whose labels would be recorded under this one's name.
        """
        name = self.spec.served_name or self.spec.model
        if name not in served:
            raise UserError(
                f"{url} serves {', '.join(sorted(served)) or 'no model'}, not {name}.",
                "Name that model with --model; an alias of the same model goes into model.served_name.",
            )
        return name

    @property
    def witness(self) -> str:
        """The servers' processes by start time; this process where they do not report it."""
        started = [self._started(url) for url in self.urls]
        if None in started:
            return super().witness
        return " ".join(f"{u}@{s}" for u, s in zip(self.urls, started, strict=True))

    def _started(self, url: str) -> str | None:
        try:
            with deadline(10):
                text = self._client.get(f"{url.removesuffix('/v1')}/metrics", timeout=10).raise_for_status().text
        except httpx.HTTPError:
            return None
        match = re.search(r"^process_start_time_seconds(?:\{[^}\n]*\})? (\S+)$", text, re.MULTILINE)
        return match[1] if match else None

    def provenance(self) -> dict[str, Any]:
        """What each server reports about the model it serves."""
        cards = {json.dumps(c, sort_keys=True): c for c in self.answered_by.values()}
        return {"models": list(cards.values())}

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    @property
    def special_tokens(self) -> frozenset[str]:
        """Those of the checkpoint's tokenizer."""
        return self.checkpoint.special_tokens

    @property
    def family(self) -> Family | None:
        """The checkpoint's, if its configuration can be read here."""
        return self.checkpoint.family

    def expected_tokens(self, request: Request) -> tuple[int, int] | None:
        """From the checkpoint's own constants."""
        return self.checkpoint.media_tokens(request)

    def generate(self, source: Source) -> Iterator[Reply | Failure]:
        """Keep as many requests in flight as the servers handle."""
        in_flight: set[Future[Reply | Failure]] = set()
        while True:
            while len(in_flight) < int(self.limit):
                request = source.take(wait=not in_flight)
                if request is None:
                    break
                in_flight.add(self._pool.submit(self._ask, request))
            if not in_flight:
                return
            done, in_flight = wait(in_flight, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()

    def _ask(self, request: Request) -> Reply | Failure:
        if request.interleaved:
            return Failure(request.key, "request_refused", "servers take audio and video separately, not interleaved")
        try:
            body = self._body(request)
            answer = self._post(body)
        except Refused as e:
            return Failure(request.key, "request_refused", str(e))
        try:
            return self._reply(request, answer)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError, ArithmeticError) as e:
            message = f"the server's answer cannot be read ({type(e).__name__}: {e}): {str(answer)[:300]}"
            return Failure(request.key, "answer_malformed", message)

    def _body(self, request: Request, logprobs: int | None = None) -> dict[str, Any]:
        family = self.checkpoint.family
        if family is not None and request.audio is not None:
            request = replace(request, audio=family.whole(request.audio))
        arguments = {"fps": request.fps}
        if family is not None:
            arguments = family.request_arguments(request.fps, request.interleaved)
        once = bool(self.options.get("send_once"))
        body = body_of(request, self.model, self.encoder, arguments, logprobs, named=once)
        if self.checkpoint.never_sampled:
            body["logit_bias"] = {str(i): -100 for i in self.checkpoint.never_sampled}
        return body

    def _reply(self, request: Request, answer: dict[str, Any]) -> Reply | Failure:
        choices = sorted(answer["choices"], key=lambda c: c["index"])
        if len(choices) != request.n:
            return Failure(request.key, "responses_missing", f"{len(choices)} of {request.n} responses came back")
        if sorted(c["index"] for c in choices) != list(range(request.n)):
            raise ValueError("its choices are not numbered from 0")
        tokens = int(answer["usage"].get("completion_tokens", -1))
        responses = tuple(
            Response(
                request.seed + c["index"],
                text_of(c["message"]["content"]),
                c["finish_reason"] or "length",
                len(c.get("token_ids") or ()) or round(tokens / request.n),
            )
            for c in choices
        )
        first = None
        if request.sampling.first_logprobs:
            top = choices[0]["logprobs"]["content"][0]["top_logprobs"]
            first = text_logprobs((t["token"], t["logprob"]) for t in top)
        prompt = int(answer["usage"]["prompt_tokens"])
        return Reply(request.key, responses, prompt, *self._media_tokens(request, answer), first)

    def _media_tokens(self, request: Request, answer: dict[str, Any]) -> tuple[int, int]:
        details = (answer["usage"].get("prompt_tokens_details") or {}).get("multimodal_tokens")
        if details is None:
            return -1, -1
        return int(details.get("audio", 0)), int(details.get("video", 0))

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        """One request with retries, each on the least loaded server.

        Raises:
            Refused: the server says that this request is wrong.
            UserError: no server answered after all attempts; the run stops and can be resumed.
        """
        retrying = Retrying(
            retry=retry_if_exception_type((Busy, httpx.TransportError)),
            stop=stop_after_attempt(self.options["attempts"]),
            wait=self._wait,
        )
        try:
            return retrying(self._post_once, body)
        except RetryError as e:
            last = e.last_attempt.exception()
            raise UserError(
                f"no server answered after {self.options['attempts']} attempts: {last}",
                "Check the servers, then run the same command again; nothing is lost.",
            ) from None

    def _wait(self, state: RetryCallState) -> float:
        """Back off longer after each failure, with jitter; where the server states a delay, use that."""
        longest = float(self.options["max_wait_s"])
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, Busy) and error.after is not None:
            return min(error.after, longest)
        return wait_random_exponential(multiplier=0.5, max=longest)(state)

    def _post_once(self, body: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            url = min(self._load, key=lambda u: self._load[u])
            self._load[url] += 1
        try:
            answer = self._send(url, body)
            with self._lock:
                # twice as many in flight each time all have succeeded, until a server first says that it is busy; from
                # then on about one more
                more = 1.0 if self._grows else 1 / self.limit
                self.limit = min(self.limit + more, float(self.spec.max_sequences * len(self.urls)))
            return answer
        except (Busy, httpx.TransportError):
            with self._lock:
                self._grows = False
                self.limit = max(1.0, self.limit * 0.7)
            raise
        finally:
            with self._lock:
                self._load[url] -= 1

    def _send(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """One POST; media that this server was sent before are named, and sent again if it has forgotten them."""
        sent, media = self._sent[url], media_of(body)
        known = [m for m in media if m in sent]
        post = partial(post_json, self._client, f"{url}/chat/completions", deadline_s=self.options["timeout_s"])
        if known:
            try:
                return post(body=without_sent(body, known))
            except (Refused, Busy) as e:
                # a cache is smaller than a run, and each of several processes behind one address has its own
                with self._lock:
                    for m in known:
                        sent.pop(m, None)
                if isinstance(e, Busy):
                    raise
        answer = post(body=body)
        with self._lock:
            sent.update(dict.fromkeys(media))
            while len(sent) > MOST_SENT:
                sent.popitem(last=False)
        return answer

    def perceive(self, request: Request) -> Perception:
        """One token with the likeliest alternatives."""
        try:
            answer = self._post(self._body(request, TOP))
        except Refused as e:
            raise UserError(
                f"the server refused the canary: {e}",
                "Start it with --trust-request-mm-kwargs; see the README.",
            ) from None
        try:
            first = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            logprobs = {t["token"]: float(t["logprob"]) for t in first}
            return Perception(int(answer["usage"]["prompt_tokens"]), *self._media_tokens(request, answer), logprobs)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as e:
            raise UserError(
                f"the server's answer to the canary cannot be read ({type(e).__name__}: {e}): {str(answer)[:200]}",
                "It must be a vLLM server that returns log-probabilities and token counts; see the README.",
            ) from None

    def perceive_all(self, requests: Sequence[Request]) -> list[Perception]:
        """All of them in flight at the same time."""
        return [f.result() for f in [self._pool.submit(self.perceive, r) for r in requests]]


def text_of(content: object) -> str:
    """The text of a choice.

    Raises:
        TypeError: it is not text.
    """
    if content is None:
        return ""
    if not isinstance(content, str):
        raise TypeError(f"the content is a {type(content).__name__}")
    return content.encode("utf-8", "replace").decode()
