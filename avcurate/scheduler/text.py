"""A row put to a language model as text alone: judges, extractors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from avcurate.engines.base import Engine, Reply, Request, Sampling
from avcurate.runner.stage import Outcome, Row
from avcurate.scheduler.unit import Unit, key_of


class TextUnit(Unit):
    """Prompts by name, n replies each, and an outcome made of them.

    Args:
        prompts: text and seed of each prompt.
        schema: JSON schema of the replies, where the engine can enforce one.
        made_of: the outcome from the replies by prompt: ``[{"text", "finish_reason"}]``.
    """

    def __init__(
        self,
        row_id: str,
        row: Row,
        engine: Engine,
        prompts: Mapping[str, tuple[str, int]],
        n: int,
        sampling: Sampling,
        made_of: Callable[[dict[str, list[dict[str, Any]]]], Outcome],
        schema: str = "",
    ) -> None:
        super().__init__(row_id, row)
        self._engine, self._prompts, self._n, self._sampling = engine, prompts, n, sampling
        self._made_of, self._schema = made_of, schema
        self._replies: dict[str, list[dict[str, Any]]] = {}
        self._sent: set[str] = set()

    def begin(self) -> None:
        """Refuses texts that hold a special token of the model."""
        self._engine.refuse_special(*(text for text, _ in self._prompts.values()))

    def absorb(self, key: str, piece: Any) -> None:
        """The replies to one prompt."""
        name = key.rsplit("/", 1)[0]
        if name in self._prompts:
            self._replies[name] = piece["replies"]

    def requests(self) -> list[Request]:
        """Every prompt that has no reply yet and was not sent."""
        unsent = [n for n in self._prompts if n not in self._replies and n not in self._sent]
        self._sent.update(unsent)
        return [self._request(name) for name in unsent]

    def _request(self, name: str) -> Request:
        text, seed = self._prompts[name]
        key = key_of(self.row_id, name, 0)
        return Request(key, text, None, None, 1.0, self._n, seed, self._sampling, schema=self._schema)

    def accept(self, request: Request, reply: Reply) -> tuple[str, Any]:
        """The replies' texts."""
        name = request.key.rsplit("/", 2)[1]
        replies = [{"text": r.text, "finish_reason": r.finish_reason} for r in reply.responses]
        return f"{name}/0", {"replies": replies}

    def outcome(self) -> Outcome:
        """The row's outcome, from the replies."""
        return self._made_of(self._replies)
