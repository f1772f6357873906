"""Options of ``eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from avcurate.recipe import Flag, ModelSpec
from avcurate.tasks.asking import QuestionInput
from avcurate.tasks.inside import DECODE, GUIDANCE, KNOCKOUT, Decode, Knockout, under_guidance, under_knockout
from avcurate.tasks.legibility import AnswerRecipe

ALL = "a,v,av,t,shuffled,av+Audio,av+Visual,av+Audio-Visual"
Scope = Literal["inner", "inner+open_tag", "span"]


class EvaluateInput(QuestionInput):
    """Questions on clips, optionally swapped ones, and another run to compare with."""

    swapped: Annotated[Path | None, Flag("--swapped")] = Field(
        None, description="A run of `avcurate swap` whose clips replace the originals."
    )
    against: Annotated[Path | None, Flag("--against")] = Field(
        None, description="Another eval run to compare with: paired differences, intervals, McNemar."
    )


class EvaluateRecipe(AnswerRecipe):
    """An eval run."""

    kind: Literal["eval"] = "eval"
    input: EvaluateInput = EvaluateInput()
    conditions: Annotated[
        tuple[str, ...],
        Flag(
            "--conditions",
            help=f"Comma-separated, from {ALL}; t: the question alone, shuffled: another clip.",
        ),
    ] = Field(
        ("a", "v", "av"), description="What the model is shown, and which PEM its response is forced to start with."
    )
    variant: Annotated[Literal["counterfactual", "factual", "silent"], Flag("--variant")] = Field(
        "counterfactual", description="Which clips of --swapped to use."
    )
    maam: Annotated[
        Scope | None,
        Flag(
            "--maam",
            help="Decode with the modality-asymmetric attention mask; engine transformers only.",
            # see train.maam_scope: the first inner token is predicted by the opening tag
            sets="inner+open_tag",
        ),
    ] = Field(None, description="Scope of the modality-asymmetric attention mask; null: none.")
    knockout: Knockout = Field((), description=KNOCKOUT)
    decode: Decode = Field(None, description=DECODE)
    guidance: dict[str, float] = Field(default_factory=dict, description=GUIDANCE)

    @field_validator("conditions", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        words = [value] if isinstance(value, str) else value
        if isinstance(words, (list, tuple)) and all(isinstance(w, str) for w in words):
            return tuple(c.strip() for w in words for c in w.split(",") if c.strip())
        return value

    @property
    def answering(self) -> ModelSpec:
        """The model, with the mask, the cuts and the decoder if there are any."""
        model = under_guidance(under_knockout(self.model, self.knockout), self.decode, self.guidance)
        if self.maam is None:
            return model
        return model.model_copy(update={"options": {**model.options, "maam": self.maam}})
