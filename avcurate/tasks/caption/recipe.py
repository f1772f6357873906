"""Options of ``caption``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from avcurate.prompts import get_prompt
from avcurate.recipe import Flag
from avcurate.scheduler.spec import AskSpec
from avcurate.tasks.asking import AskRecipe, ClipInput
from avcurate.tasks.inside import DECODE, GUIDANCE, KNOCKOUT, Decode, Knockout

ASK = {"both": "caption@1", "see": "see@1", "hear": "hear@1"}


class CaptionInput(ClipInput):
    """A list of clips, optionally with another sound or picture."""

    swapped: Annotated[Path | None, Flag("--swapped")] = Field(
        None, description="A run of `avcurate swap` whose clips replace the originals."
    )


class CaptionRecipe(AskRecipe):
    """A caption run."""

    kind: Literal["caption"] = "caption"
    input: CaptionInput = CaptionInput()
    ask: Annotated[Literal["both", "see", "hear"] | None, Flag("--ask")] = Field(
        None, description="Ask for what is seen, heard, or both, in place of the prompt (see/hear, arXiv 2604.02605)."
    )
    variant: Annotated[Literal["counterfactual", "factual", "silent"], Flag("--variant")] = Field(
        "counterfactual", description="Which clips of --swapped to use."
    )
    knockout: Knockout = Field((), description=KNOCKOUT)
    decode: Decode = Field(None, description=DECODE)
    guidance: dict[str, float] = Field(default_factory=dict, description=GUIDANCE)

    def spec(self) -> AskSpec:
        """These options as the scheduler takes them."""
        spec = super().spec()
        return spec if self.ask is None else replace(spec, prompt=get_prompt(ASK[self.ask]))
