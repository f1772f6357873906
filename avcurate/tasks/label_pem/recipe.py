"""Options of ``label-pem``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from avcurate.recipe import Flag, Strict
from avcurate.tasks.asking import QuestionInput
from avcurate.tasks.legibility import AnswerRecipe


class EmbedderSpec(Strict):
    """The embedder that measures CoT consistency. ``tau_cot`` belongs to it, because scales differ by embedder."""

    model: Annotated[str, Flag("--embedder")] = Field(
        "embedded", description="`embedded`, a model name or folder, or http://host/v1#model."
    )
    tau_cot: Annotated[float, Flag("--tau-cot")] = Field(
        0.8, ge=-1, le=1, description="Minimum CoT consistency of a solved setting."
    )


class LabelPemRecipe(AnswerRecipe):
    """A label-pem run."""

    kind: Literal["label-pem"] = "label-pem"
    input: QuestionInput = QuestionInput()
    early_exit: Annotated[
        bool, Flag("--exhaustive", help="Sample every setting in full; same labels, more tokens.", sets=False)
    ] = Field(True, description="Stop sampling once the label is decided.")
    tau_acc: Annotated[float, Flag("--tau-acc")] = Field(
        0.75, gt=0, le=1, description="Minimum correctness rate of a solved setting."
    )
    min_confidence: Annotated[float, Flag("--min-confidence")] = Field(
        0.0, ge=0, le=1, description="Least confidence of a label; below it a question is discarded as unsure."
    )
    blind: Annotated[
        Literal["text", "shuffled"] | None,
        Flag("--blind", help="Ask each question also without its clip (text), or with another's (shuffled)."),
    ] = Field(None, description="Ask also without the clip, or with another one's media; labels then say solved_blind.")
    embedder: EmbedderSpec = EmbedderSpec()
