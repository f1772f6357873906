"""Whether answers can be read at all: a model that does not follow the prompt's format labels nothing."""

from __future__ import annotations

import logging
from typing import Annotated

from pydantic import Field

from avcurate.errors import TooManyDead
from avcurate.recipe import Flag
from avcurate.tasks.asking import AskRecipe

ENOUGH = 64
WARN_ABOVE = 0.5
_log = logging.getLogger(__name__)


class AnswerRecipe(AskRecipe):
    """How a model is asked for answers that are read."""

    fail_on_unreadable: Annotated[float | None, Flag("--fail-on-unreadable")] = Field(
        None, ge=0, le=1, description="Stop, resumably, when this share of answers cannot be read."
    )


class Legibility:
    """Counts answers that cannot be read, warns once when most of the first ones cannot, and stops where asked to.

    Args:
        limit: share at which the run stops; ``None``: never.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._asked = self._unread = 0
        self._warned = False

    def add(self, unread: int, asked: int) -> None:
        """Answers of one row.

        Raises:
            TooManyDead: too many cannot be read; what was asked so far is kept.
        """
        self._asked += asked
        self._unread += unread
        if self._asked < ENOUGH:
            return
        share = self._unread / self._asked
        said = f"{share:.0%} of {self._asked:,} answers cannot be read"
        if self.limit is not None and share > self.limit:
            raise TooManyDead(
                f"{said}; the limit is {self.limit:.0%}.",
                "Look at responses with `avcurate report RUN`; see whether this model follows the prompt, and whether "
                "--max-tokens cuts it off. The same command goes on.",
            )
        if share > WARN_ABOVE and not self._warned:
            self._warned = True
            _log.warning("%s. Is it the right model, and does it follow the prompt? --fail-on-unreadable stops.", said)
