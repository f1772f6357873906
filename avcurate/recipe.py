"""Recipes: everything a run depends on, in one validated file. What all recipes share, and how they are read.

A task's own recipe is in its folder under ``avcurate/tasks``. Commands are generated from recipes: a field with
a :class:`Flag` or an :class:`Argument` can be given on the command line, every field with ``--set``.
"""

from __future__ import annotations

import importlib.resources
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from avcurate.errors import UserError
from avcurate.media.remote import local_folder
from avcurate.prompts import OwnPrompt, get_prompt

if TYPE_CHECKING:
    from avcurate.media.decode import DecodeSpec


@dataclass(frozen=True)
class Flag:
    """How a field is given on the command line.

    Attributes:
        names: e.g. ``("--model", "-m")``; ``("--twins/--no-twins",)`` for a switch that can be turned off.
        help: text for ``--help``; by default the field's description.
        sets: the value that the bare flag sets; ``None``: the flag takes a value.
    """

    names: tuple[str, ...]
    help: str
    sets: Any

    def __init__(self, *names: str, help: str = "", sets: Any = None) -> None:
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "help", help)
        object.__setattr__(self, "sets", sets)


@dataclass(frozen=True)
class Argument:
    """A field that is a positional argument on the command line."""

    help: str = ""
    required: bool = True


@dataclass(frozen=True)
class Required:
    """An input that must be given, in the recipe or on the command line.

    ``flag``: whether the command line asks for it; false where another input may bring it along.
    """

    flag: bool = True


class Strict(BaseModel):
    """A model that rejects unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults(cls, data: Any) -> Any:
        """Merge a partially given section into this model's defaults for it, not into the section's own."""
        if not isinstance(data, dict):
            return data
        for name, field in cls.model_fields.items():
            if isinstance(field.default, BaseModel) and isinstance(data.get(name), dict):
                data = data | {name: _merged(field.default.model_dump(exclude_unset=True), data[name])}
        return data


class RayOptions(Strict):
    """Where and how wide a run is spread, with ``executor: ray``."""

    address: Annotated[str, Flag("--ray-address", help="Ray cluster, e.g. auto or ray://head:10001.")] = Field(
        "", description="Ray cluster, e.g. `auto` or `ray://head:10001`; empty: what Ray finds, or this machine alone."
    )
    replicas: Annotated[int, Flag("--replicas")] = Field(
        0, ge=0, le=4096, description="Copies of the model on the Ray cluster; 0: as many as there is room for."
    )
    gpus: float | None = Field(
        None,
        ge=0,
        le=1024,
        description="GPUs of a replica; null: as many as the model is split over, if there are any.",
    )
    cpus: float | None = Field(
        None,
        ge=0,
        le=4096,
        description="CPUs of a replica; null: one, and one a clip decoded in parallel where no GPU idles for it.",
    )
    nodes: int = Field(1, ge=1, le=256, description="Machines that one replica is spread over.")
    silent_s: float = Field(
        60.0, gt=1, le=3600, description="Seconds without a sign of life after which a replica is given up."
    )


class RunOptions(Strict):
    """How a run is carried out. None of it changes the results, so any of it may differ on resume."""

    limit: Annotated[int, Flag("--limit")] = Field(0, ge=0, description="Process only the first records; 0 for all.")
    only: Annotated[tuple[str, ...], Flag("--only")] = Field(
        (), description="Process only the row with this id; repeatable."
    )
    records: Annotated[tuple[int, ...], Flag("--record")] = Field(
        (), description="Process only the record with this number in the input; repeatable."
    )
    part_size: Annotated[int, Flag("--part-size")] = Field(
        256, ge=1, le=1_000_000, description="Rows per Parquet part."
    )
    workers: Annotated[int | None, Flag("--workers", "--decode-workers")] = Field(
        None,
        ge=1,
        le=1024,
        description="Number of clips decoded, or files written, in parallel; null: one less than the cores, 2 to 16.",
    )
    executor: Annotated[str, Flag("--executor")] = Field("local", description="local or ray.")
    ray: RayOptions = RayOptions()
    fail_on_dead: Annotated[float | None, Flag("--fail-on-dead")] = Field(
        None, ge=0, le=1, description="Stop, resumably, when this share of rows is dead."
    )

    @property
    def threads(self) -> int:
        """``workers``, or as many as this machine's cores suggest; one is left to what feeds the model."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
        return self.workers or max(2, min(16, cores - 1))


class TaskRecipe(Strict):
    """Fields of every task's recipe."""

    kind: str
    name: str = Field("", description="Name of the recipe; recorded with the run.")
    about: str = Field("", description="What it is for, in one sentence.")
    run: RunOptions = RunOptions()

    inputs: ClassVar[str] = "input"

    def to_record(self) -> Self:
        """The recipe as recorded in ``run.json``: with the content of files it names, which may be moved away."""
        return self


class ModelSpec(Strict):
    """Which model answers, and through which engine."""

    engine: Annotated[str, Flag("--engine", "-e", help="transformers, vllm, server, openai or scripted.")] = Field(
        "transformers", description="How the model is run."
    )
    model: Annotated[str, Flag("--model", "-m")] = Field(
        "embedded", description="`embedded`, a model name or folder; for scripted, the script."
    )
    revision: str | None = Field(None, description="Revision on the model hub.")
    urls: Annotated[tuple[str, ...], Flag("--url", help="Server, e.g. http://127.0.0.1:8000/v1; repeatable.")] = Field(
        (), description="Servers, e.g. http://127.0.0.1:8000/v1."
    )
    served_name: Annotated[str | None, Flag("--served-name")] = Field(
        None, description="The model's name on the servers, if they use an alias."
    )
    family: Annotated[str | None, Flag("--family")] = Field(
        None, description="Model family, where the checkpoint's configuration cannot be read here (`avcurate plugins`)."
    )
    tensor_parallel: Annotated[int, Flag("--tensor-parallel")] = Field(
        1, ge=1, le=1024, description="GPUs that each layer is split over (vllm, and the line for its server)."
    )
    pipeline_parallel: Annotated[int, Flag("--pipeline-parallel")] = Field(
        1, ge=1, le=1024, description="Groups of GPUs that the layers are divided among (vllm, and its server's line)."
    )
    replicas: int = Field(1, ge=1, le=1024, description="Copies of the model behind one address (its server's line).")
    max_sequences: int = Field(96, ge=1, le=1 << 16, description="Number of responses generated in parallel.")
    max_model_len: int = Field(32_768, ge=256, description="Maximum length of prompt plus response, in tokens (vllm).")
    dtype: str = Field("auto", description="Number format of the weights.")
    trust_remote_code: bool = Field(False, description="Run code that comes with the checkpoint (vllm).")
    options: dict[str, Any] = Field(default_factory=dict, description="Passed to the engine unchanged.")


class SamplingSpec(Strict):
    """Sampling parameters."""

    temperature: Annotated[float, Flag("--temperature", help="Sampling temperature; 0 is greedy.")] = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1, description="Probability mass that tokens are drawn from (nucleus sampling).")
    top_k: int = Field(0, ge=0, description="Number of likeliest tokens to draw from; 0: off.")
    max_tokens: Annotated[int, Flag("--max-tokens")] = Field(
        1024, ge=1, le=1 << 20, description="Maximum length of a response, in tokens."
    )
    first_logprobs: int = Field(
        0, ge=0, le=20, description="Number of likeliest first tokens whose log-probability is stored."
    )


class MediaSpec(Strict):
    """How clips are decoded."""

    fps: float = Field(2.0, gt=0, le=1000, description="Frames shown per second.")
    max_frames: int = Field(
        128, ge=2, le=1 << 16, description="Maximum frames per clip; longer clips are shown at a lower rate."
    )
    max_pixels: int = Field(768 * 28 * 28, ge=64, description="Maximum pixels per frame when decoding.")
    max_seconds: float = Field(
        300.0, gt=0, le=86_400, description="Maximum seconds of a clip that are shown; rows record what was not."
    )
    over_limit: Literal["filter", "cut"] = Field(
        "filter",
        description="What happens to a clip with more sound than the model's family takes: left out as "
        "over_family_limit, or cut there, with the rest recorded as not shown.",
    )
    timeout_s: float = Field(60.0, gt=0, le=86_400, description="Time limit for decoding one clip, in seconds.")
    memory_mb: int = Field(
        4096, ge=256, le=1 << 20, description="Memory limit (address space) for decoding one clip, in MB."
    )
    max_bytes: int = Field(8 << 30, ge=1, description="Maximum size of a media file.")
    max_shortfall: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Maximum share of a track that may be missing after decoding; above it the clip is dead.",
    )
    keep_damaged: bool = Field(
        False, description="Keep clips above max_shortfall; their rows record how much is missing."
    )

    def decoding(self) -> DecodeSpec:
        """These values as the decoder takes them."""
        from avcurate.media.decode import DecodeSpec

        return DecodeSpec(**self.model_dump(exclude={"over_limit"}))


MAX_VALUES = 100_000
Ablation = Literal["drop", "zero"]
M = TypeVar("M", bound=BaseModel)


def read_prompt(value: Any) -> Any:
    """A prompt by name, as fields, or from a file; a file's content becomes part of the recipe."""
    if isinstance(value, str) and value.endswith((".yaml", ".yml")):
        return validated(OwnPrompt, read_mapping(Path(value)), value)
    if isinstance(value, dict):
        return validated(OwnPrompt, value, "prompt")
    if isinstance(value, str):
        get_prompt(value)
    return value


MediaPath = Annotated[Path, BeforeValidator(local_folder)]
"""A folder of clips: a local one, or an address (``s3://``, ``hf://``) that a local one stands for."""

PromptField = Annotated[str | OwnPrompt, BeforeValidator(read_prompt)]
"""A prompt by name, or a custom one; a string that ends in ``.yaml`` is read as a file."""


def recipe_folder() -> Path:
    """Folder of the recipes that ship with the package."""
    packaged = Path(str(importlib.resources.files("avcurate"))) / "_pipelines"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "pipelines"


def shipped() -> dict[str, Path]:
    """Paths of the recipes that ship with the package, by name."""
    return {p.stem: p for p in sorted(recipe_folder().glob("*.yaml"))}


def read_recipe(name: str) -> tuple[dict[str, Any], str]:
    """A recipe's fields as written, and the path of its file.

    Raises:
        UserError: there is no such recipe, or it is not a YAML mapping.
    """
    path = shipped().get(name) or Path(name)
    if not path.is_file():
        raise UserError(
            f"there is no recipe {name!r}.",
            f"Recipes are: {', '.join(shipped())}; or give the path of a .yaml file.",
        )
    return _extended(path, ()), str(path)


def _extended(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe's fields over those of the recipe that it ``extends``, by name or by a path beside it.

    Raises:
        UserError: that recipe does not exist, or recipes extend each other in a circle.
    """
    data = read_mapping(path)
    name = data.pop("extends", None)
    if name is None:
        return data
    below = shipped().get(str(name)) or path.parent / str(name)
    if not below.is_file():
        raise UserError(f"{path} extends {name!r}, which does not exist.", "Name a recipe of `avcurate recipe ls`.")
    if below.resolve() in (path.resolve(), *(p.resolve() for p in above)):
        raise UserError(f"{path} extends {name!r}, which extends it in turn.", "Let one of them stand alone.")
    return _merged(_extended(below, (*above, path)), data)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        UserError: it cannot be read, or is not a mapping.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8")) or {}
    except Exception as e:
        # invalid dates and numbers raise whatever their parser raises
        problem = " ".join(str(e).split())[:300] or type(e).__name__
        raise UserError(f"{path} is not YAML: {problem}", "Check it with `avcurate recipe validate`.") from None
    _refuse_endless(data, path)
    if not isinstance(data, dict):
        raise UserError(f"{path} is a {type(data).__name__}, not a mapping of fields.", "See `avcurate recipe show`.")
    return data


def _refuse_endless(data: Any, path: Path) -> None:
    """Refuse a file whose aliases expand without bound or contain themselves.

    Raises:
        UserError: it has more than ``MAX_VALUES`` values.
    """
    remaining, pending = MAX_VALUES, [data]
    while pending:
        value = pending.pop()
        remaining -= 1
        if remaining < 0:
            raise UserError(
                f"{path} holds more than {MAX_VALUES:,} values.", "Its aliases repeat or contain themselves."
            )
        pending += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def override(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A recipe's fields with changes such as ``{"model.engine": "vllm"}`` applied; ``None`` changes nothing.

    Raises:
        UserError: a change goes into something that is not a mapping.
    """
    changed = _copy(data)
    for dotted, value in changes.items():
        if value is None:
            continue
        *parents, last = dotted.split(".")
        node = changed
        for parent in parents:
            if not isinstance(node.get(parent), dict):
                if node.get(parent) is not None:
                    raise UserError(f"{dotted!r}: {parent!r} has no fields.", "See `avcurate recipe show`.")
                node[parent] = {}
            node = node[parent]
        node[last] = value
    return changed


def _merged(defaults: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {
        k: _merged(defaults[k], v)
        for k, v in changes.items()
        if isinstance(v, dict) and isinstance(defaults.get(k), dict)
    }
    return defaults | changes | nested


def _copy(data: dict[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, dict) else v for k, v in data.items()}


def settings_of(words: list[str] | None) -> dict[str, Any]:
    """Changes from ``key.path=value`` words; values are parsed as YAML.

    Raises:
        UserError: a word has no ``=``, or its value is not YAML.
    """
    settings = {}
    for word in words or []:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UserError(f"{word!r} is not KEY=VALUE.", "For example: --set sampling.top_p=0.9")
        try:
            settings[key] = yaml.safe_load(value)
        except Exception as e:
            problem = " ".join(str(e).split())[:200] or type(e).__name__
            raise UserError(
                f"--set {key}: {value[:80]!r} is not a value: {problem}", "Quote it as YAML requires."
            ) from None
    return settings


def validated(model: type[M], data: dict[str, Any], where: str) -> M:
    """Validate a recipe.

    Raises:
        UserError: a field is invalid; the message names the first.
    """
    try:
        return model.model_validate(data)
    except ValidationError as e:
        first = e.errors()[0]
        field = ".".join(str(p) for p in first["loc"]) or "the recipe"
        raise UserError(
            f"{where}: field {field!r}: {first['msg'].lower()}.", "`avcurate recipe schema KIND` lists all fields."
        ) from None
