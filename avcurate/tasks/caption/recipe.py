"""Options of ``caption``."""

from __future__ import annotations

from typing import Literal

from avcurate.tasks.asking import AskRecipe, ClipInput


class CaptionRecipe(AskRecipe):
    """A caption run."""

    kind: Literal["caption"] = "caption"
    input: ClipInput = ClipInput()
