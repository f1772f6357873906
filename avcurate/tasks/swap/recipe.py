"""Options of ``swap``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from avcurate.recipe import Argument, Flag, Required, Strict, TaskRecipe
from avcurate.tasks.salvage import SALVAGE, Salvage


class SwapInput(Strict):
    """Pairs, and where their clips lie."""

    pairs: Annotated[Path | None, Argument(), Required()] = Field(
        None, description="Table with clip and donor: pairs.jsonl of `avcurate pair`, or any."
    )
    media: Annotated[Path | None, Flag("--media"), Required()] = Field(None, description="Folder of the clips.")
    donors: Annotated[Path | None, Flag("--donors")] = Field(
        None, description="Folder of the donors, clips or sounds; by default --media."
    )
    columns: Annotated[dict[str, str], Flag("--map", help="FIELD=COLUMN for clip and donor; repeatable.")] = Field(
        default_factory=dict, description="Column of each field."
    )
    salvage: Salvage = Field(False, description=SALVAGE)


class SwapRecipe(TaskRecipe):
    """A swap run."""

    kind: Literal["swap"] = "swap"
    input: SwapInput = SwapInput()
    fit: Annotated[Literal["loop", "pad"], Flag("--fit")] = Field(
        "loop", description="A shorter sound is repeated, or followed by silence."
    )
    match_loudness: Annotated[bool, Flag("--match-loudness/--keep-loudness")] = Field(
        True, description="Bring the sound to the loudness it replaces."
    )
    least_seconds: float = Field(0.5, ge=0, description="Shorter donors are refused.")
    timeout_s: float = Field(120.0, gt=0, description="Wall time of one ffmpeg child.")
    twins: Annotated[bool, Flag("--twins/--no-twins")] = Field(
        True, description="Also write each clip with its own sound, made the same way."
    )
    silent: Annotated[bool, Flag("--silent", sets=True)] = Field(
        False, description="Also write each clip with silence."
    )
    audio_only: Annotated[bool, Flag("--audio-only", sets=True)] = Field(
        False, description="Also write the new sound alone."
    )
    video_only: Annotated[bool, Flag("--video-only", sets=True)] = Field(
        False, description="Also write the picture alone."
    )
