"""What an engine is: requests in, replies out, as they finish.

A request holds everything the answer depends on, so that an engine never needs to know about
settings, questions or files. Responses of one request share its prefill.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from avcurate.errors import RowError
from avcurate.families.base import Family

DRAWS = 2
"""Goes up when our own sampler draws other tokens for the same seed: responses of both must not meet in one run."""
_PROCESS = uuid.uuid4().hex


@dataclass(frozen=True)
class Sampling:
    """Decoding values. ``temperature`` 0 is greedy; ``top_k`` 0 and ``top_p`` 1 are off.

    ``first_logprobs`` is how many of the likeliest first tokens to return log-probabilities for.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 1024
    first_logprobs: int = 0


@dataclass(frozen=True)
class Request:
    """One question under one setting.

    Attributes:
        key: what the reply is matched by.
        prompt: the user's text, after the media.
        audio: float32 (S,) mono at 16 kHz, or ``None``: not sent.
        frames: uint8 (T, H, W, 3), or ``None``: not sent.
        fps: frames per second of ``frames``; engines pass it on explicitly.
        n: number of responses; response i is sampled with seed ``seed + i``.
        interleaved: send audio and video as one aligned item instead of one after the other.
        media_id: content hash of the media shown, for caches and servers; never a name.
        prefix: what the response begins with; the reply's texts continue after it and do not repeat it.
        schema: JSON schema of the response, for engines that can enforce it; others ignore it.
        system: the system prompt; empty: none is sent, and a chat template may supply its own.
    """

    key: str
    prompt: str
    audio: NDArray[np.float32] | None
    frames: NDArray[np.uint8] | None
    fps: float
    n: int
    seed: int
    sampling: Sampling
    interleaved: bool = False
    media_id: str = ""
    prefix: str = ""
    schema: str = ""
    system: str = ""


@dataclass(frozen=True)
class Response:
    """One sampled response. ``finish_reason`` is ``stop`` or ``length``."""

    seed: int
    text: str
    finish_reason: str
    tokens: int


@dataclass(frozen=True)
class Reply:
    """All responses of one request, and what the model received; -1 where the engine does not report it.

    ``first_logprobs`` holds the likeliest first tokens as text with their log-probabilities, if requested.
    """

    key: str
    responses: tuple[Response, ...]
    prompt_tokens: int
    audio_tokens: int
    video_tokens: int
    first_logprobs: dict[str, float] | None = None


@dataclass(frozen=True)
class Failure:
    """A request that could not be answered, for a named reason."""

    key: str
    reason: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Perception:
    """What the canary compares: token counts, and log-probabilities of the first answer token."""

    prompt_tokens: int
    audio_tokens: int
    video_tokens: int
    logprobs: dict[str, float] = field(default_factory=dict)


class Source(Protocol):
    """Where an engine takes its requests from; replies may add new ones."""

    def take(self, wait: bool) -> Request | None:
        """The next request; ``None`` when there is none now.

        With ``wait`` it returns ``None`` only when none will come without further replies.
        """


class ListSource:
    """A source over a fixed list of requests."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._waiting = deque(requests)

    def take(self, wait: bool) -> Request | None:
        """The next request; ``None`` when none are left."""
        return self._waiting.popleft() if self._waiting else None


class Engine(ABC):
    """A model that answers.

    Attributes:
        perceives: whether it reports what it received; false for engines that replay stored answers.
    """

    name: str
    perceives: bool = True
    answers_aside: bool = False
    """Whether requests are answered in other processes, while this one does something else."""
    keeps_prompts: bool = False
    """Whether a further request with the same prompt and media reads them from a cache, not anew."""
    far: bool = False
    """Whether a request may cost as much as a response, so that asking in waves must be measured first."""

    @property
    def hearing(self) -> str:
        """How it is shown that media reached the model.

        ``canary`` (by log-probabilities, and by tokens where they are counted), ``behaviour`` (its answers follow what
        is shown) or ``none``.
        """
        return "canary" if self.perceives else "none"

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What answers depend on besides requests: model, revision, versions."""

    @abstractmethod
    def setup(self) -> None:
        """Load the model, or reach the server.

        Raises:
            UserError: it cannot be loaded or reached; the hint says what to do.
        """

    @abstractmethod
    def generate(self, source: Source) -> Iterator[Reply | Failure]:
        """Answer all requests of the source, yielding replies as they finish.

        A reply is yielded before more is taken, because it may add requests to the source.
        """

    @abstractmethod
    def perceive(self, request: Request) -> Perception:
        """What the model receives of a request, and the log-probabilities of its first token."""

    def perceive_all(self, requests: Sequence[Request]) -> list[Perception]:
        """:meth:`perceive` of several requests, at the same time where the engine can."""
        return [self.perceive(r) for r in requests]

    def expected_tokens(self, request: Request) -> tuple[int, int] | None:
        """Audio and video tokens the request must cost, computed independently of the model; ``None``: unknown."""
        return None

    @property
    def family(self) -> Family | None:
        """The model's family; ``None`` where it is not known."""
        return None

    @property
    def witness(self) -> str:
        """Which process answers: a canary that passed confirms what the same witness answered before it."""
        return _PROCESS

    def provenance(self) -> dict[str, Any]:
        """What the model reports about itself after setup, e.g. a server's own report."""
        return {}

    @property
    def special_tokens(self) -> frozenset[str]:
        """Texts that its tokenizer reads as special tokens; none may appear in a question."""
        return frozenset()

    def refuse_special(self, *texts: str) -> None:
        """Refuse texts that contain a special token: a placeholder would stand for media that are missing.

        Raises:
            RowError: ``special_token_in_text``.
        """
        for token in self.special_tokens:
            if any(token in text for text in texts):
                raise RowError(
                    "special_token_in_text",
                    f"the text contains {token!r}, which the model reads as a special token.",
                    "Remove it from the question or choice.",
                )

    def close(self) -> None:  # noqa: B027
        """Free the model."""


def text_logprobs(tokens: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Log-probabilities by stripped token text; of "A" and " A" the likelier one."""
    logprobs: dict[str, float] = {}
    for text, logprob in tokens:
        stripped = text.strip()
        logprobs[stripped] = max(float(logprob), logprobs.get(stripped, float("-inf")))
    return logprobs
