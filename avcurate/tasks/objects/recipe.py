"""Options of ``objects``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from avcurate.recipe import Argument, Flag, Strict, TaskRecipe
from avcurate.tasks.asking import PATTERN, MediaRoot, Pattern


class ObjectsInput(Strict):
    """Clips from a list or a folder."""

    clips: Annotated[Path | None, Argument(required=False)] = Field(
        None, description="Clip list: VGGSound, VGGSounder, or a csv with clip and label; by default the whole folder."
    )
    media: MediaRoot = Field(None, description="Folder of the clips.")
    media_pattern: Pattern = Field(None, description=PATTERN)


class ObjectsRecipe(TaskRecipe):
    """An objects run."""

    kind: Literal["objects"] = "objects"
    input: ObjectsInput = ObjectsInput()
    model: Annotated[str, Flag("--model", "-m")] = Field(
        "facebook/detr-resnet-50",
        description="Object detector: a name, a folder, a NanoDet .onnx file, or `embedded-detector` (demo world).",
    )
    revision: Annotated[str | None, Flag("--revision")] = Field(None, description="Revision on the model hub.")
    threshold: Annotated[float, Flag("--threshold")] = Field(
        0.9, ge=0, le=1, description="Minimum score of a detection that counts."
    )
    floor: Annotated[float, Flag("--floor")] = Field(
        0.3, ge=0.01, le=1, description="Minimum score of a detection that is stored."
    )
    frames: Annotated[int, Flag("--frames")] = Field(10, ge=1, description="Frames per clip, spread evenly.")
    seconds: Annotated[float, Flag("--seconds")] = Field(10.0, ge=0.1, description="Seconds of a clip to examine.")
    batch: Annotated[int, Flag("--batch")] = Field(40, ge=1, description="Frames per forward pass, across clips.")
    sheets: Annotated[bool, Flag("--sheets/--no-sheets")] = Field(True, description="Draw contact sheets with boxes.")
