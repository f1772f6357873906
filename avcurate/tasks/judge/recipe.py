"""Options of ``judge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from avcurate.recipe import Argument, Flag, ModelSpec, Required, SamplingSpec, Strict, TaskRecipe
from avcurate.sources.benchmark_folder import CAPTIONS, opened
from avcurate.tasks.salvage import SALVAGE, Salvage

FIELDS = ("clip", "caption", "audio_caption", "video_caption", "human_audio", "human_video")


class JudgeInput(Strict):
    """Captions, and what is actually heard and seen."""

    captions: Annotated[Path | None, Argument(), Required()] = Field(
        None, description="Table with clip and caption, and audio_caption and video_caption (or --truth)."
    )
    truth: Annotated[Path | None, Flag("--truth")] = Field(
        None, description="Another table with clip, audio_caption and video_caption, or a benchmark folder."
    )
    columns: Annotated[
        dict[str, str], Flag("--map", help="FIELD=COLUMN; also human_audio and human_video; repeatable.")
    ] = Field(default_factory=dict, description="Column of each field.")
    verdicts: Annotated[Path | None, Flag("--verdicts")] = Field(
        None, description="A caption run that people reviewed: the share that confirms a caption is its human score."
    )
    salvage: Salvage = Field(False, description=SALVAGE)
    against: Annotated[Path | None, Flag("--against")] = Field(
        None, description="Another judge run on the same clips to compare with: the drop per modality."
    )

    @model_validator(mode="before")
    @classmethod
    def _benchmark(cls, data: Any) -> Any:
        return opened(data, "truth", CAPTIONS, brings_media=False)


class JudgeModel(ModelSpec):
    """The judge."""

    model: Annotated[str, Flag("--model", "-m")] = Field(
        "Qwen/Qwen3-32B", description="A language model by name or folder; `embedded-judge` knows the demo world."
    )


class JudgeRecipe(TaskRecipe):
    """A judge run."""

    kind: Literal["judge"] = "judge"
    input: JudgeInput = JudgeInput()
    model: JudgeModel = JudgeModel()
    n: Annotated[int, Flag("--n")] = Field(1, ge=1, description="Judgements per caption and modality.")
    seed: Annotated[int, Flag("--seed")] = Field(0, description="Seed of the judgements.")
    sampling: SamplingSpec = SamplingSpec(temperature=0.7, top_p=0.8, top_k=20, max_tokens=8192)
    structured: Annotated[bool, Flag("--structured/--free")] = Field(
        True, description="Constrain the judge to JSON if the engine supports it."
    )
