"""Plain OpenAI-compatible endpoints: no field that only vLLM knows, frames as images, hearing proved by behaviour."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar

import httpx

from avcurate.engines.base import Failure, Perception, Reply, Request, Response
from avcurate.engines.deadline import bounded, deadline
from avcurate.engines.http import Refused
from avcurate.engines.messages import system_of
from avcurate.engines.server import ServerEngine, text_of
from avcurate.engines.wire import image_urls, wav_base64
from avcurate.errors import UserError


class OpenAIEngine(ServerEngine):
    """A model behind an endpoint that knows chat completions with ``input_audio`` and ``image_url``, and no more.

    ``ModelSpec.options`` beside those of the server engine: ``n`` (true: the endpoint accepts it; else every response
    is a request), ``seed`` (true: it accepts one), ``max_tokens_field`` (``max_tokens``), ``image_detail`` (``auto``).
    The API key comes from the environment variable ``AVCURATE_API_KEY`` or ``OPENAI_API_KEY`` and is written nowhere.
    """

    # every request is paid for with its prompt
    keeps_prompts = False

    name = "openai"
    perceives = False
    defaults: ClassVar[dict[str, Any]] = {k: v for k, v in ServerEngine.defaults.items() if k != "send_once"} | {
        "frame_format": "JPEG",
        "n": True,
        "seed": True,
        "max_tokens_field": "max_tokens",
        "image_detail": "auto",
    }

    @property
    def hearing(self) -> str:
        """By its answers: it reports no tokens."""
        return "behaviour"

    def identity(self) -> dict[str, Any]:
        """The model's name, and what is sent."""
        sent = ("frame_format", "n", "seed", "image_detail")
        return {"engine": self.name, "model": self.spec.model, **{k: self.options[k] for k in sent}}

    def setup(self) -> None:
        """Ask every endpoint for its models, where it lists them.

        Raises:
            UserError: nothing answers, or an endpoint lists models without this one.
        """
        key = os.environ.get("AVCURATE_API_KEY") or os.environ.get("OPENAI_API_KEY") or ""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.model = self.spec.served_name or self.spec.model
        self._client = bounded(httpx.Client(timeout=self.options["timeout_s"], headers=headers))
        for url in self.urls:
            try:
                with deadline(20):
                    reply = self._client.get(f"{url}/models", timeout=20)
            except httpx.HTTPError as e:
                raise UserError(f"nothing answers at {url}: {e}", "Check --url (it ends in /v1).") from None
            if reply.status_code in (401, 403):
                raise UserError(f"{url} requires a key.", "Set it in the environment variable AVCURATE_API_KEY.")
            listed = _listed(reply)
            if listed and not any(_same(self.model, name) for name in listed):
                raise UserError(
                    f"{url} serves {', '.join(sorted(listed)[:8])}, not {self.model}.", "Name one of them with --model."
                )
        self._pool = ThreadPoolExecutor(max(self.spec.max_sequences, 4), thread_name_prefix="ask")

    def expected_tokens(self, request: Request) -> tuple[int, int] | None:
        """Unknown: endpoints do not report what they received."""
        return None

    def perceive(self, request: Request) -> Perception:
        """Unknown: endpoints do not report it."""
        return Perception(-1, -1, -1)

    def _ask(self, request: Request) -> Reply | Failure:
        if request.n == 1 or self.options["n"]:
            return super()._ask(request)
        responses: list[Response] = []
        prompt = -1
        for i in range(request.n):
            reply = super()._ask(replace(request, n=1, seed=request.seed + i))
            if isinstance(reply, Failure):
                return reply
            responses += reply.responses
            prompt = reply.prompt_tokens
        return Reply(request.key, tuple(responses), prompt, -1, -1)

    def _body(self, request: Request, logprobs: int | None = None) -> dict[str, Any]:
        if request.prefix:
            raise Refused("an endpoint cannot be made to begin its answer with given words; do not force a PEM.")
        content: list[dict[str, Any]] = []
        if request.frames is not None:
            rate = f"{len(request.frames)} frames of a video, {request.fps:g} a second:"
            content.append({"type": "text", "text": rate})
            for url in image_urls(request.frames, self.options["frame_format"]):
                image = {"url": url, "detail": self.options["image_detail"]}
                content.append({"type": "image_url", "image_url": image})
        if request.audio is not None:
            sound = {"data": wav_base64(request.audio), "format": "wav"}
            content.append({"type": "input_audio", "input_audio": sound})
        content.append({"type": "text", "text": request.prompt})
        s = request.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [*system_of(request), {"role": "user", "content": content}],
            "temperature": s.temperature,
            "top_p": s.top_p,
            self.options["max_tokens_field"]: s.max_tokens,
        }
        if request.n > 1:
            body["n"] = request.n
        if self.options["seed"]:
            body["seed"] = request.seed
        if request.schema:
            json_schema = {"name": "answer", "schema": json.loads(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        if s.first_logprobs:
            body |= {"logprobs": True, "top_logprobs": s.first_logprobs}
        return body

    def _reply(self, request: Request, answer: dict[str, Any]) -> Reply | Failure:
        name = answer.get("model")
        if isinstance(name, str) and not _same(self.model, name):
            raise UserError(
                f"the endpoint answered as {name!r}, not as {self.model!r}: labels would carry the wrong name.",
                "Name the model that answers with --model.",
            )
        choices = answer["choices"]
        if len(choices) != request.n:
            return Failure(request.key, "responses_missing", f"{len(choices)} of {request.n} responses came back")
        usage = answer.get("usage") or {}
        tokens = round(int(usage.get("completion_tokens", 0)) / request.n)
        responses = tuple(
            Response(request.seed + i, text_of(c["message"]["content"]), c.get("finish_reason") or "stop", tokens)
            for i, c in enumerate(sorted(choices, key=lambda c: int(c.get("index", 0))))
        )
        return Reply(request.key, responses, int(usage.get("prompt_tokens", -1)), -1, -1)


def _listed(reply: httpx.Response) -> list[str]:
    """Models that an endpoint lists; empty where it lists none."""
    try:
        return [str(m["id"]) for m in reply.json()["data"]] if reply.status_code == 200 else []
    except (ValueError, KeyError, TypeError):
        return []


def _same(requested: str, reported: str) -> bool:
    """Whether a reported name is the requested one, or that with a date or a path around it."""
    requested, reported = requested.casefold(), reported.casefold().rsplit("/models/", 1)[-1].removeprefix("models/")
    return requested == reported or reported.startswith(f"{requested}-") or reported.endswith(f"/{requested}")
