"""Options of ``caption``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from avcurate.tasks.asking import AskRecipe, ClipInput
from avcurate.tasks.knockout import KNOCKOUT, Knockout


class CaptionRecipe(AskRecipe):
    """A caption run."""

    kind: Literal["caption"] = "caption"
    input: ClipInput = ClipInput()
    knockout: Knockout = Field((), description=KNOCKOUT)
