"""A recipe: everything a run depends on, in one validated file. What all recipes share, and how they are read.

A task's own recipe stands in its folder under ``avcurate/tasks``. Commands are made from recipes: a field that carries
a :class:`Flag` or an :class:`Argument` can be given on the command line, every field with ``--set``.
"""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from avcurate.errors import UserError
from avcurate.prompts import OwnPrompt, get_prompt


@dataclass(frozen=True)
class Flag:
    """How a field is given on the command line.

    Attributes:
        names: e.g. ``("--model", "-m")``; ``("--twins/--no-twins",)`` for a switch that can be turned off.
        help: what ``--help`` says; the field's description without one.
        sets: the value that the bare flag stands for; ``None``: the flag takes a value.
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
    """A field that is given by its place on the command line."""

    help: str = ""
    required: bool = True


@dataclass(frozen=True)
class Required:
    """An input that has to be given, in the recipe or on the command line."""


class Strict(BaseModel):
    """A model that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults(cls, data: Any) -> Any:
        """What is said of some fields of a part leaves its other fields as this model has them, not as the part's."""
        if not isinstance(data, dict):
            return data
        for name, field in cls.model_fields.items():
            if isinstance(field.default, BaseModel) and isinstance(data.get(name), dict):
                data = data | {name: _merged(field.default.model_dump(exclude_unset=True), data[name])}
        return data


class RunOptions(Strict):
    """How a run is carried out. None of it changes what comes out, so any of it may differ on resume."""

    limit: Annotated[int, Flag("--limit")] = Field(0, ge=0, description="Only the first records; 0 for all.")
    only: Annotated[tuple[str, ...], Flag("--only")] = Field((), description="Only the row of this id; repeatable.")
    records: Annotated[tuple[int, ...], Flag("--record")] = Field(
        (), description="Only the record of this number in the input; repeatable."
    )
    part_size: Annotated[int, Flag("--part-size")] = Field(
        256, ge=1, le=1_000_000, description="Rows of a Parquet part."
    )
    workers: Annotated[int, Flag("--workers", "--decode-workers")] = Field(
        2, ge=1, le=1024, description="Clips decoded, or files made, at the same time."
    )
    executor: Annotated[str, Flag("--executor")] = Field("local", description="local or ray.")
    fail_on_dead: Annotated[float | None, Flag("--fail-on-dead")] = Field(
        None, ge=0, le=1, description="Stop when this share of rows died."
    )


class TaskRecipe(Strict):
    """What every task's recipe has."""

    kind: str
    name: str = Field("", description="What the recipe is called; recorded with the run.")
    about: str = Field("", description="What it is for, in a sentence.")
    run: RunOptions = RunOptions()

    inputs: ClassVar[str] = "input"

    def to_record(self) -> Self:
        """As ``run.json`` has it: with what it names in files that may be moved away."""
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
        None, description="The model's name at the servers, where that is an alias of it."
    )
    max_sequences: int = Field(96, ge=1, le=1 << 16, description="Responses generated at the same time.")
    max_model_len: int = Field(32_768, ge=256, description="Longest prompt plus response, tokens (vllm).")
    dtype: str = Field("auto", description="Number format of the weights.")
    trust_remote_code: bool = Field(False, description="Run code that comes with the checkpoint (vllm).")
    options: dict[str, Any] = Field(default_factory=dict, description="Passed to the engine as they are.")


class SamplingSpec(Strict):
    """Decoding values."""

    temperature: Annotated[float, Flag("--temperature", help="Sampling temperature; 0 is greedy.")] = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1, description="Share of probability that tokens are drawn from.")
    top_k: int = Field(0, ge=0, description="0: off.")
    max_tokens: Annotated[int, Flag("--max-tokens")] = Field(
        1024, ge=1, le=1 << 20, description="Longest response, tokens."
    )
    first_logprobs: int = Field(0, ge=0, le=20, description="Likeliest first tokens whose log-probability is stored.")


class MediaSpec(Strict):
    """How clips are decoded."""

    fps: float = Field(2.0, gt=0, le=1000, description="Frames per second shown.")
    max_frames: int = Field(128, ge=2, le=1 << 16, description="Longer clips are shown at a lower rate.")
    max_pixels: int = Field(768 * 28 * 28, ge=64, description="Pixels per frame kept when decoding.")
    max_seconds: float = Field(300.0, gt=0, le=86_400, description="Seconds of a clip that are shown; the rest is not.")
    timeout_s: float = Field(60.0, gt=0, le=86_400, description="Wall time of one decode.")
    memory_mb: int = Field(4096, ge=256, le=1 << 20, description="Address space of one decode.")
    max_bytes: int = Field(8 << 30, ge=1, description="Largest file opened.")
    max_shortfall: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of a track that may be missing when it is decoded; above it the clip is dead.",
    )
    keep_damaged: bool = Field(False, description="Keep clips above it; their rows say how much is missing.")


MAX_VALUES = 100_000
Ablation = Literal["drop", "zero"]
M = TypeVar("M", bound=BaseModel)


def read_prompt(value: Any) -> Any:
    """A prompt by name, as fields, or as a file of them; the content of a file becomes the recipe's."""
    if isinstance(value, str) and value.endswith((".yaml", ".yml")):
        return validated(OwnPrompt, read_mapping(Path(value)), value)
    if isinstance(value, dict):
        return validated(OwnPrompt, value, "prompt")
    if isinstance(value, str):
        get_prompt(value)
    return value


PromptField = Annotated[str | OwnPrompt, BeforeValidator(read_prompt)]
"""A prompt by name, or a user's own; a string that ends with ``.yaml`` is read as a file."""


def recipe_folder() -> Path:
    """Where the recipes that come with the package lie."""
    packaged = Path(str(importlib.resources.files("avcurate"))) / "_pipelines"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "pipelines"


def shipped() -> dict[str, Path]:
    """Recipes that come with the package, by name."""
    return {p.stem: p for p in sorted(recipe_folder().glob("*.yaml"))}


def read_recipe(name: str) -> tuple[dict[str, Any], str]:
    """A recipe's fields as written, and the path they stand in.

    Raises:
        UserError: there is no such recipe, or it is no YAML mapping.
    """
    path = shipped().get(name) or Path(name)
    if not path.is_file():
        raise UserError(
            f"there is no recipe {name!r}.",
            f"Recipes are: {', '.join(shipped())}; or give the path of a .yaml file.",
        )
    return read_mapping(path), str(path)


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file of named fields.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8")) or {}
    except Exception as e:
        # dates and numbers that are none raise whatever their parser does
        said = " ".join(str(e).split())[:300] or type(e).__name__
        raise UserError(f"{path} is not YAML: {said}", "Check it with `avcurate recipe validate`.") from None
    _refuse_endless(data, path)
    if not isinstance(data, dict):
        raise UserError(f"{path} is a {type(data).__name__}, not a mapping of fields.", "See `avcurate recipe show`.")
    return data


def _refuse_endless(data: Any, path: Path) -> None:
    """Refuse a file whose aliases make more of it than anybody wrote, or stand inside themselves.

    Raises:
        UserError: it does.
    """
    left, waiting = MAX_VALUES, [data]
    while waiting:
        one = waiting.pop()
        left -= 1
        if left < 0:
            raise UserError(
                f"{path} holds more than {MAX_VALUES:,} values.", "Its aliases repeat or contain themselves."
            )
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


def override(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A recipe's fields with changes such as ``{"model.engine": "vllm"}`` applied; ``None`` changes nothing.

    Raises:
        UserError: a change goes into something that is no mapping.
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
                    raise UserError(f"{dotted!r}: {parent!r} holds no fields.", "See `avcurate recipe show`.")
                node[parent] = {}
            node = node[parent]
        node[last] = value
    return changed


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {k: _merged(under[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(under.get(k), dict)}
    return under | over | both


def _copy(data: dict[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, dict) else v for k, v in data.items()}


def settings_of(words: list[str] | None) -> dict[str, Any]:
    """Changes from ``key.path=value`` words; values are read as YAML.

    Raises:
        UserError: a word has no ``=``, or its value is no YAML.
    """
    found = {}
    for word in words or []:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UserError(f"{word!r} is not KEY=VALUE.", "For example: --set sampling.top_p=0.9")
        try:
            found[key] = yaml.safe_load(value)
        except Exception as e:
            said = " ".join(str(e).split())[:200] or type(e).__name__
            raise UserError(
                f"--set {key}: {value[:80]!r} is not a value: {said}", "Quote it as YAML wants it."
            ) from None
    return found


def validated(model: type[M], data: dict[str, Any], where: str) -> M:
    """A recipe of one kind.

    Raises:
        UserError: naming the first wrong field.
    """
    try:
        return model.model_validate(data)
    except ValidationError as e:
        first = e.errors()[0]
        field = ".".join(str(p) for p in first["loc"]) or "the recipe"
        raise UserError(
            f"{where}: field {field!r}: {first['msg'].lower()}.", "`avcurate recipe schema KIND` lists all fields."
        ) from None
