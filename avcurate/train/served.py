"""Rollouts from a vLLM server that receives the policy's weights before each step.

The weights are written as a checkpoint to a folder that both sides see, and the server reloads them in place; no
process group spans the two, so they share only a file system, not an environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from avcurate.engines.base import Request
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.http import Refused
from avcurate.engines.server import ServerEngine
from avcurate.errors import UserError
from avcurate.recipe import ModelSpec
from avcurate.train.saving import save_model

CACHES = ("reset_prefix_cache", "reset_mm_cache", "reset_encoder_cache")


class ServedRollouts(ServerEngine):
    """A vLLM server as the sampler of rollouts.

    Args:
        url: the server's address, ending in ``/v1``; one server, started with ``VLLM_SERVER_DEV_MODE=1``.
        checkpoint: what training started from.
        folder: where weights go; the server must see it under the same path.
        banned: token ids that must not be drawn (placeholders of media).
        parallel: requests in flight.
    """

    def __init__(
        self, url: str, checkpoint: Checkpoint, folder: Path, banned: Sequence[int], parallel: int = 16
    ) -> None:
        super().__init__(ModelSpec(engine="server", model=checkpoint.model, urls=(url,), max_sequences=parallel))
        self._folder, self._banned = folder, list(banned)
        self._base = checkpoint

    def _name_at(self, url: str, served: list[str]) -> str:
        """Any name will do: the server runs the weights it is given."""
        if len(served) != 1:
            raise UserError(f"{url} serves {', '.join(served) or 'no model'}.", "Give a server with exactly one model.")
        return served[0]

    def load(self, model: Any, processor: Any, weights: dict[str, Any] | None = None) -> None:
        """Load the current policy into the server.

        Args:
            model, weights: as for :func:`saving.save_model`.

        Raises:
            UserError: the server does not allow loading weights, or failed to load them.
        """
        folder = save_model(model, processor, self._base, self._folder, weights)
        root = self.urls[0].removesuffix("/v1")
        call = {"method": "reload_weights", "kwargs": {"weights_path": str(folder.resolve())}}
        try:
            reply = self._client.post(f"{root}/collective_rpc", json=call)
            if reply.status_code == 404:
                raise UserError(
                    f"the server at {root} does not allow its weights to be replaced.",
                    "Start it with VLLM_SERVER_DEV_MODE=1 in its environment, on an address only you can reach.",
                )
            reply.raise_for_status()
            for cache in CACHES:
                self._client.post(f"{root}/{cache}").raise_for_status()
        except httpx.HTTPError as e:
            raise UserError(
                f"the server at {root} did not load the policy: {e}",
                f"See its log; it must be able to read {folder}. Then run the same command again.",
            ) from None

    def rollouts(
        self, requests: Sequence[Request], prompts: Sequence[Sequence[int]]
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Token ids of all responses and the log-probabilities they had, in request order, a request's adjacent.

        Args:
            requests: what to sample; prompts: the token ids that training will read, media included.

        Raises:
            UserError: the server is gone, refuses, or reads different tokens from training.
        """
        futures = [self._pool.submit(self._rollout, r) for r in requests]
        rollouts: list[list[int]] = []
        logprobs: list[list[float]] = []
        for request, prompt, future in zip(requests, prompts, futures, strict=True):
            answer = future.result()
            try:
                theirs = answer["prompt_token_ids"]
                choices = sorted(answer["choices"], key=lambda c: c["index"])
                written = [list(c["token_ids"]) for c in choices]
                chances = [[float(t["logprob"]) for t in c["logprobs"]["content"]] for c in choices]
            except (KeyError, TypeError) as e:
                raise UserError(
                    f"the server's answer has no {e}: it must return token ids and their log-probabilities.",
                    "Use vLLM 0.32 or newer.",
                ) from None
            if list(theirs) != list(prompt):
                raise UserError(
                    f"question {request.key}: the server reads {len(theirs)} prompt tokens, training {len(prompt)}, or "
                    "they differ: rollouts would answer a different prompt from the one trained on.",
                    "Give both the same processor files, and start the server with --trust-request-mm-kwargs.",
                )
            if len(written) != request.n or not all(written):
                raise UserError(f"question {request.key}: {len(written)} of {request.n} rollouts came back.")
            if [len(c) for c in chances] != [len(w) for w in written]:
                raise UserError(f"question {request.key}: the server's log-probabilities are not one for each token.")
            rollouts += written
            logprobs += chances
        return rollouts, logprobs

    def _rollout(self, request: Request) -> dict[str, Any]:
        body = self._body(request)
        body |= {
            "return_token_ids": True,
            "logprobs": True,
            "top_logprobs": 0,
            "logit_bias": {str(i): -100 for i in self._banned},
        }
        try:
            return self._post(body)
        except Refused as e:
            raise UserError(f"question {request.key}: the server refused: {e}") from None
