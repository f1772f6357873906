"""Options of ``pair``: which sound may go with which picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from avcurate.recipe import Argument, Flag, MediaPath, Required, RunOptions, Strict, TaskRecipe
from avcurate.tasks.salvage import SALVAGE, Salvage


class PairInput(Strict):
    """Captioned clips."""

    captions: Annotated[Path | None, Argument(), Required()] = Field(
        None, description="AudioCaps csv, or a table with clip, audio_caption, video_caption, answer, split."
    )
    media: Annotated[MediaPath | None, Flag("--media")] = Field(
        None, description="Folder of the clips; enables checks of length, level and duplicate sounds."
    )
    video_captions: Annotated[Path | None, Flag("--video-captions")] = Field(
        None, description="Video captions: v.jsonl of `avcurate caption`."
    )
    columns: Annotated[dict[str, str], Flag("--map", help="FIELD=COLUMN; repeatable.")] = Field(
        default_factory=dict, description="Column of each field."
    )
    salvage: Salvage = Field(False, description=SALVAGE)


class PairRecipe(TaskRecipe):
    """A pair run."""

    kind: Literal["pair"] = "pair"
    input: PairInput = PairInput()
    run: RunOptions = RunOptions(part_size=1024)
    embedder: Annotated[str, Flag("--embedder")] = Field(
        "embedded", description="`embedded`, a model name or folder, or http://host/v1#model."
    )
    threshold: Annotated[float, Flag("--threshold")] = Field(
        0.3, ge=-1, le=2, description="Refuse donors whose caption is at least this similar to the clip's (cosine)."
    )
    longest_loop: float = Field(4.0, ge=1, description="Maximum ratio of picture length to donor length.")
    least_level: float = Field(-55.0, le=0, description="Minimum donor level, dBFS (RMS).")
    most_gain: float = Field(30.0, ge=0, description="Maximum difference between donor level and the clip's own, dB.")
    block: int = Field(2048, ge=2, le=8192, description="Clips assigned jointly; larger sets are split into blocks.")
    rounds: int = Field(3, ge=1, description="Number of times a large set is shuffled into blocks.")
    listed: int = Field(5, ge=0, description="Nearest refused donors recorded per clip.")
    seed: Annotated[int, Flag("--seed")] = Field(0, description="Seed of the split into blocks.")
