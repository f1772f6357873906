"""What a task declares about how its rows are shown. Everything not declared is worked out from the columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TITLES = ("question", "caption", "text", "record", "clip_id", "clip", "item_id", "media", "video_id")
CLIPS = (("media", "media"), ("file", "benchmark"), ("counterfactual", "run"), ("factual", "run"), ("clip", "media"))


def no_steps(row: dict[str, Any]) -> list[str]:
    """A task that explains no label."""
    return []


@dataclass(frozen=True)
class View:
    """How a task's rows are shown.

    Attributes:
        label: column of a row's label, shown as its badge; without it, rows have only a state.
        reason: column that says why a row has no label.
        titles: columns to name a row by; the first that the run has is used.
        clips: columns that name a media file, each with where the name starts: ``media`` (the media folder), ``run``
            or ``benchmark`` (the folder of that name in the run); those that the run has are used.
        columns: further columns to filter by: the column without which there is none yet, and an SQL expression over
            the row's columns (DuckDB).
        steps: from a whole row to sentences on how its label came to be.
    """

    label: str = ""
    reason: str = ""
    titles: tuple[str, ...] = TITLES
    clips: tuple[tuple[str, str], ...] = CLIPS
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    steps: Callable[[dict[str, Any]], list[str]] = no_steps
