"""What guided decoders ask of the in-process engine, and passes that go on from a prompt."""

from __future__ import annotations

from typing import Any, Protocol

from avcurate.engines.base import Request
from avcurate.engines.decoding import Branch
from avcurate.engines.prefill import Prefill
from avcurate.engines.watched import InProcess


class Reads(InProcess, Protocol):
    """An engine that reads prompts."""

    def prefill(self, batch: list[Request], cuts: Any = None, planned_by: Any = None) -> Prefill:
        """Read the prompts."""


def branch_of(engine: InProcess, start: Prefill) -> Branch:
    """A pass that goes on from a prompt."""
    return Branch(engine.model, start.cache, start.mask, start.next_position, start.axes, start.plan)
