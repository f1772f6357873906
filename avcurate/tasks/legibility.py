"""Whether answers can be parsed at all: a model that ignores the prompt's format labels nothing."""

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
    """Options for asking a model for answers that are parsed."""

    fail_on_unreadable: Annotated[float | None, Flag("--fail-on-unreadable")] = Field(
        None, ge=0, le=1, description="Stop, resumably, when this share of answers cannot be read."
    )


class Legibility:
    """Count unreadable answers, warn once if most of the first ones are, and stop the run at a limit.

    Args:
        limit: share at which the run stops; ``None``: never.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._asked = self._unread = 0
        self._warned = False

    def add(self, unread: int, asked: int) -> None:
        """Count the answers of one row.

        Raises:
            TooManyDead: too many cannot be read; finished rows are kept.
        """
        self._asked += asked
        self._unread += unread
        if self._asked < ENOUGH:
            return
        share = self._unread / self._asked
        summary = f"{share:.0%} of {self._asked:,} answers cannot be read"
        if self.limit is not None and share > self.limit:
            raise TooManyDead(
                f"{summary}; the limit is {self.limit:.0%}.",
                "Look at responses with `avcurate report RUN`: does the model follow the prompt, and does --max-tokens "
                "cut it off? Run the same command again to resume.",
            )
        if share > WARN_ABOVE and not self._warned:
            self._warned = True
            _log.warning(
                "%s. Is it the right model, and does it follow the prompt? Use --fail-on-unreadable to stop.", summary
            )
