"""Options of ``dominance``, and the class pools it offers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from avcurate.engines.base import Engine
from avcurate.engines.open import open_engine
from avcurate.errors import UserError
from avcurate.recipe import Ablation, Argument, Flag, MediaPath, Strict, read_recipe, validated
from avcurate.tasks.asking import PATTERN, Pattern
from avcurate.tasks.inside import DECODE, GUIDANCE, Decode, under_guidance
from avcurate.tasks.legibility import AnswerRecipe

By = Literal["prediction", "correctness"]


class DominanceInput(Strict):
    """Clips to ask about, or published answers."""

    clips: Annotated[Path | None, Argument(required=False)] = Field(
        None, description="Clip list: VGGSound, VGGSounder, or a csv with clip and label."
    )
    media: Annotated[MediaPath | None, Flag("--media")] = Field(None, description="Folder of the clips.")
    media_pattern: Pattern = Field(None, description=PATTERN)
    replay: Annotated[Path | None, Flag("--replay")] = Field(
        None, description="Existing answers instead of clips: JSON Lines with video_id, a, v, av."
    )
    labels: Annotated[Path | None, Flag("--labels")] = Field(None, description="With --replay: clip list with classes.")


class PoolRecipe(Strict):
    """The classes offered as the options of one question."""

    kind: Literal["pool"] = "pool"
    name: str = Field(description="Name of the recipe; recorded with the run.")
    about: str = Field("", description="What it is for, in one sentence.")
    classes: tuple[str, ...] = Field(min_length=2, max_length=26, description="Class names, verbatim.")


class DominanceRecipe(AnswerRecipe):
    """A dominance run."""

    kind: Literal["dominance"] = "dominance"
    input: DominanceInput = DominanceInput()
    pool: Annotated[str | PoolRecipe, Flag("--pool")] = Field(
        "pool-people", description="Classes offered: a pool recipe or file, or name and classes."
    )
    by: Annotated[By, Flag("--by")] = Field(
        "prediction", description="Decide by predictions (ignoring the label), or by whether they match the label."
    )
    ablation: Annotated[
        Ablation, Flag("--drop", help="Leave the other modality out instead of zeroing it.", sets="drop")
    ] = Field("zero", description="How a setting removes the other modality.")
    decode: Decode = Field(None, description=DECODE)
    guidance: dict[str, float] = Field(default_factory=dict, description=GUIDANCE)

    def open(self, engine: Engine | None = None) -> Engine:
        """The engine that answers, with its decoder."""
        model = under_guidance(self.model, self.decode, self.guidance)
        return engine or open_engine(model, self.layout == "interleaved")

    def to_record(self) -> Self:
        """The recipe with the pool's classes filled in."""
        return self if self.input.replay is not None else self.model_copy(update={"pool": load_pool(self.pool)})


def load_pool(name: str | PoolRecipe) -> PoolRecipe:
    """A class pool by name or path, or from a recipe.

    Raises:
        UserError: there is no such pool, or a field is invalid.
    """
    if isinstance(name, PoolRecipe):
        return name
    data, where = read_recipe(name)
    if data.get("kind") != "pool":
        raise UserError(f"{where} is not a class pool.", "See `avcurate recipe ls`; its kind must be pool.")
    return validated(PoolRecipe, data, where)
