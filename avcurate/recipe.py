"""A recipe: everything a run depends on, in one validated file.

Knows names and values; opens no model and no media.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avcurate.errors import UserError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(_Strict):
    """Which model answers, and through which engine."""

    engine: Literal["transformers", "vllm", "server", "scripted"] = Field(
        "transformers", description="How the model is run."
    )
    model: str = Field("embedded", description="`embedded`, a model name or folder; for scripted, the script.")
    revision: str | None = Field(None, description="Revision on the model hub.")
    urls: tuple[str, ...] = Field((), description="Servers, e.g. http://127.0.0.1:8000/v1.")
    max_sequences: int = Field(96, ge=1, description="Responses generated at the same time.")
    max_model_len: int = Field(32_768, ge=256, description="Longest prompt plus response, tokens (vllm).")
    dtype: str = Field("auto", description="Number format of the weights.")
    trust_remote_code: bool = Field(False, description="Run code that comes with the checkpoint (vllm).")
    options: dict[str, Any] = Field(default_factory=dict, description="Passed to the engine as they are.")


class SamplingSpec(_Strict):
    """Decoding values."""

    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0: off.")
    max_tokens: int = Field(1024, ge=1)


class MediaSpec(_Strict):
    """How clips are decoded."""

    fps: float = Field(2.0, gt=0, description="Frames per second shown.")
    max_frames: int = Field(128, ge=2, description="Longer clips are shown at a lower rate.")
    max_pixels: int = Field(768 * 28 * 28, ge=64, description="Pixels per frame kept when decoding.")
    max_seconds: float = Field(300.0, gt=0)
    timeout_s: float = Field(60.0, gt=0, description="Wall time of one decode.")
    memory_mb: int = Field(4096, ge=256, description="Address space of one decode.")
    max_bytes: int = Field(8 << 30, ge=1, description="Largest file opened.")


class EmbedderSpec(_Strict):
    """What measures how alike reasonings are. ``tau_cot`` belongs to it: scales differ by embedder."""

    model: str = Field("embedded", description="`embedded`, a model name or folder, or http://host/v1#model.")
    tau_cot: float = Field(0.8, ge=-1, le=1, description="Least consistency of a solved setting.")


class Recipe(_Strict):
    """A label-pem run."""

    name: str = "label-pem"
    about: str = ""
    prompt: str = "cot@1"
    n: int = Field(8, ge=1, description="Responses per setting.")
    seed: int = Field(0, description="Run seed; every response's seed derives from it.")
    ablation: Literal["drop", "zero"] = "drop"
    layout: Literal["separate", "interleaved"] = "separate"
    early_exit: bool = True
    tau_acc: float = Field(0.75, gt=0, le=1, description="Least correctness rate of a solved setting.")
    model: ModelSpec = ModelSpec()
    sampling: SamplingSpec = SamplingSpec()
    media: MediaSpec = MediaSpec()
    embedder: EmbedderSpec = EmbedderSpec()


def recipe_folder() -> Path:
    """Where the recipes that come with the package lie."""
    packaged = Path(str(importlib.resources.files("avcurate"))) / "_pipelines"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "pipelines"


def shipped() -> dict[str, Path]:
    """Recipes that come with the package, by name."""
    return {p.stem: p for p in sorted(recipe_folder().glob("*.yaml"))}


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """A recipe by name or path, with overrides such as ``{"model.engine": "vllm"}`` applied.

    Raises:
        UserError: there is no such recipe, or a field of it is wrong; the message names the field.
    """
    path = shipped().get(name) or Path(name)
    if not path.is_file():
        raise UserError(
            f"there is no recipe {name!r}.",
            f"Recipes are: {', '.join(shipped())}; or give the path of a .yaml file.",
        )
    try:
        data = yaml.safe_load(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise UserError(f"{path} is not YAML: {e}", "Check it with `avcurate recipe validate`.") from None
    for dotted, value in (overrides or {}).items():
        if value is None:
            continue
        *parents, last = dotted.split(".")
        node = data
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return parse_recipe(data, str(path))


def parse_recipe(data: Any, where: str) -> Recipe:
    """Validate a recipe.

    Raises:
        UserError: naming the first wrong field.
    """
    try:
        return Recipe.model_validate(data)
    except ValidationError as e:
        first = e.errors()[0]
        field = ".".join(str(p) for p in first["loc"])
        raise UserError(
            f"{where}: field {field!r}: {first['msg'].lower()}.",
            "`avcurate recipe show label-pem` prints a whole recipe.",
        ) from None
