"""Options of ``leak``: what counts as solved, and by what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from avcurate.recipe import Flag, MediaPath
from avcurate.tasks.asking import QuestionInput
from avcurate.tasks.legibility import AnswerRecipe


class LeakInput(QuestionInput):
    """Questions, and clips unless only text is read."""

    media: Annotated[MediaPath | None, Flag("--media")] = Field(
        None, description="Folder of the clips; not for text alone."
    )


class LeakRecipe(AnswerRecipe):
    """A leak run."""

    kind: Literal["leak"] = "leak"
    input: LeakInput = LeakInput()
    text_only: Annotated[bool, Flag("--text-only", sets=True)] = Field(
        False, description="Use no model and no media: only the cross-validated reader of the questions' text."
    )
    tau: Annotated[float, Flag("--tau")] = Field(
        0.75, gt=0, le=1, description="Share of right responses from which a condition solves a question."
    )
    folds: int = Field(5, ge=2, le=50, description="Folds of the text-only reader; a video is in one of them.")
    text_probability: float | None = Field(
        None, ge=0, le=1, description="Also count as leaking what the text-only reader gives at least this; null: no."
    )
