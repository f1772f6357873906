"""What a dataset format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from avcurate.sources.question import Question

Raw = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """One dataset format: how to recognise it by its fields, and how to read a record.

    Attributes:
        groups: fields of a record that its benchmark reports by, e.g. ``task`` and ``difficulty``.
        scorer: the benchmark's own rule for right and wrong, of :data:`avcurate.metrics.scorers.SCORERS`; empty: ours.
    """

    name: str
    about: str
    fields: frozenset[str]
    read: Callable[[Raw], Question]
    groups: tuple[str, ...] = ()
    scorer: str = ""
