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
    classes: tuple[str, ...] = Field((), description="Classes to keep; empty: all.")
    only_av_label: bool = Field(
        False, description="VGGSounder: the set of classes both heard and seen is exactly the clip's own class."
    )
    without_flags: tuple[Literal["background_music", "static_image", "voice_over"], ...] = Field(
        (), description="VGGSounder: clips with one of these flags are left out."
    )
    branches: tuple[str, ...] = Field(
        (), description="AudioSet: exactly one most specific class lies below these ontology nodes."
    )
    without_branches: tuple[str, ...] = Field((), description="AudioSet: no class lies below these.")
    per_class: int = Field(0, ge=0, description="Maximum clips per class, drawn by the seed; 0: all.")
    total: int = Field(0, ge=0, description="Maximum clips in all, drawn by the seed; 0: all.")
    seed: int = Field(0, description="Seed of the random draw.")


def load_benchmark(name: str) -> BenchmarkRecipe:
    """A benchmark's rules by name or path.

    Raises:
        UserError: there are no such rules, or one of their fields is wrong.
    """
    data, where = read_recipe(name)
    if data.get("kind") != "benchmark":
        raise UserError(f"{where} is not a benchmark recipe.", "See `avcurate recipe ls`; its kind must be benchmark.")
    return validated(BenchmarkRecipe, data, where)
