"""Which clips of a published list make a benchmark."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from avcurate.errors import UserError
from avcurate.recipe import Strict, read_recipe, validated


class BenchmarkRecipe(Strict):
    """Which clips of a published list make a benchmark. Rules are applied in the order of the fields."""

    kind: Literal["benchmark"]
    name: str = Field(description="What the recipe is called; recorded with what it makes.")
    about: str = Field("", description="What it is for, in a sentence.")
    classes: tuple[str, ...] = Field((), description="Classes kept; none given: all.")
    only_av_label: bool = Field(
        False, description="VGGSounder: the set of classes both heard and seen is exactly the clip's own class."
    )
    without_flags: tuple[Literal["background_music", "static_image", "voice_over"], ...] = Field(
        (), description="Clips with one of these flags of VGGSounder are left out."
    )
    branches: tuple[str, ...] = Field(
        (), description="AudioSet: exactly one most specific class lies below these ontology nodes."
    )
    without_branches: tuple[str, ...] = Field((), description="AudioSet: no class lies below these.")
    per_class: int = Field(0, ge=0, description="At most so many clips of a class, drawn by the seed; 0: all.")
    total: int = Field(0, ge=0, description="At most so many clips in all, drawn by the seed; 0: all.")
    seed: int = Field(0, description="Seed of what is drawn at random.")


def load_benchmark(name: str) -> BenchmarkRecipe:
    """A benchmark's rules by name or path.

    Raises:
        UserError: there are no such rules, or a field of them is wrong.
    """
    data, where = read_recipe(name)
    if data.get("kind") != "benchmark":
        raise UserError(
            f"{where} holds no rules of a benchmark.", "See `avcurate recipe ls`; its kind must be benchmark."
        )
    return validated(BenchmarkRecipe, data, where)
