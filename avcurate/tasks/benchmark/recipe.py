"""Options of ``benchmark hallucination``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from avcurate.recipe import Argument, Flag, MediaPath, Required, RunOptions, Strict, TaskRecipe
from avcurate.tasks.salvage import SALVAGE, Salvage

TaskName = Literal["visible", "audible", "which_heard", "which_seen", "order", "describe"]
EditName = Literal[
    "swap_sound",
    "swap_picture",
    "mix",
    "shift",
    "mute",
    "exchange_sound",
    "freeze",
    "black",
    "blur",
    "exchange_picture",
]
TASKS: tuple[TaskName, ...] = get_args(TaskName)
EDITS: tuple[EditName, ...] = get_args(EditName)


class BenchmarkInput(Strict):
    """Clips, and what is known to be heard and seen in each."""

    evidence: Annotated[Path | None, Argument(), Required()] = Field(
        None, description="VGGSounder's csv, or a table with clip, heard, seen, not_heard, not_seen, exhaustive."
    )
    media: Annotated[MediaPath | None, Flag("--media")] = Field(
        None, description="Folder of the clips; without it questions are planned and no file is made."
    )
    objects: Annotated[Path | None, Flag("--objects")] = Field(
        None, description="A run of `avcurate objects`, whose detections say what is seen and what is not."
    )
    aliases: Annotated[Path | None, Flag("--aliases")] = Field(
        None, description='JSON of other words for a name: {"dog": ["puppy", "hound"]}.'
    )
    columns: Annotated[dict[str, str], Flag("--map", help="FIELD=COLUMN for any table; repeatable.")] = Field(
        default_factory=dict, description="Column of each field."
    )
    salvage: Salvage = Field(False, description=SALVAGE)


class HallucinationBenchmarkRecipe(TaskRecipe):
    """A benchmark."""

    kind: Literal["benchmark-hallucination"] = "benchmark-hallucination"
    input: BenchmarkInput = BenchmarkInput()
    run: RunOptions = RunOptions(part_size=1024)
    title: Annotated[str, Flag("--title")] = Field("hallucination", description="Name of the benchmark.")
    version: str = Field("1", description="Version of the benchmark.")
    licence: Annotated[str, Flag("--licence")] = Field(
        "unknown", description="Licence of the clips, for the card; they are not redistributed unless you do it."
    )
    tasks: Annotated[tuple[TaskName, ...], Flag("--tasks", help="Comma-separated.")] = Field(
        TASKS, description="Questions on clips as they are."
    )
    edits: Annotated[tuple[EditName, ...], Flag("--edits", help="Comma-separated.")] = Field(
        EDITS, description="Counterfactual edits; each clip gets a twin coded the same way."
    )
    per_clip: Annotated[int, Flag("--per-clip")] = Field(
        6, ge=0, description="Maximum questions on a clip as it is, of all kinds."
    )
    edits_per_clip: Annotated[int, Flag("--edits-per-clip")] = Field(2, ge=0, description="Maximum edits of a clip.")
    per_object: int = Field(40, ge=1, description="Maximum questions with the answer Yes for one name in one task.")
    questions: Annotated[int, Flag("--questions")] = Field(
        0, ge=0, description="Maximum Yes questions of each yes/no task; 0: no limit."
    )
    wordings: Literal["avhbench", "several"] = Field(
        "several", description="AVHBench's wording alone, or one of several for each question."
    )
    level_db: float = Field(0.0, ge=-40, le=20, description="Level of a mixed-in sound relative to the clip's, dB.")
    offset: float = Field(2.0, gt=0, description="Seconds by which a shifted sound comes later.")
    stretch: float = Field(1.5, gt=0, description="Seconds that are muted, frozen, black or blurred.")
    audible_db: float = Field(
        -45.0, description="Minimum level of a half second that counts as sounding, dB of full scale."
    )
    low_score: float = Field(
        0.1, ge=0, le=1, description="With --objects: nothing above this score in any frame means not seen."
    )
    seed: Annotated[int, Flag("--seed")] = Field(0, description="Seed of every choice.")

    @field_validator("tasks", "edits", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        words = [value] if isinstance(value, str) else value
        if isinstance(words, (list, tuple)) and all(isinstance(w, str) for w in words):
            return tuple(w.strip() for word in words for w in word.split(",") if w.strip())
        return value
