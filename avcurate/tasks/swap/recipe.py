"""Options of ``swap``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from avcurate.recipe import Argument, Flag, MediaPath, Required, Strict, TaskRecipe
from avcurate.tasks.salvage import SALVAGE, Salvage


class SwapInput(Strict):
    """Pairs, and the folders of their clips."""

    pairs: Annotated[Path | None, Argument(), Required()] = Field(
        None, description="Table with clip and donor, e.g. pairs.jsonl of `avcurate pair`."
    )
    media: Annotated[MediaPath | None, Flag("--media"), Required()] = Field(None, description="Folder of the clips.")
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
        "loop", description="Repeat a shorter sound, or pad it with silence."
    )
    match_loudness: Annotated[bool, Flag("--match-loudness/--keep-loudness")] = Field(
        True, description="Match the loudness of the sound it replaces."
    )
    least_seconds: float = Field(0.5, ge=0, description="Minimum length of a donor, in seconds.")
    timeout_s: float = Field(120.0, gt=0, description="Time limit for one ffmpeg process, in seconds.")
    twins: Annotated[bool, Flag("--twins/--no-twins")] = Field(
        True, description="Also write each clip with its own sound, processed the same way."
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
