"""Recipe fields with a flag or a positional argument, for the command line and the Python API."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from avcurate.recipe import Argument, Flag


@dataclass(frozen=True)
class Option:
    """One field of a recipe.

    Attributes:
        parameter: its path as one Python name, e.g. ``model__engine``.
        path: e.g. ``model.engine``.
        flag: how it is given on the command line.
    """

    parameter: str
    path: str
    field: FieldInfo
    flag: Flag | Argument

    @property
    def name(self) -> str:
        """Its name in Python: that of the argument, or the long flag, e.g. ``media_pattern``."""
        if isinstance(self.flag, Argument):
            return self.path.rsplit(".", 1)[-1]
        long = next(n for n in self.flag.names if n.startswith("--"))
        return long.split("/")[0].removeprefix("--").replace("-", "_")


def options_of(model: type[BaseModel], prefix: str = "") -> Iterator[Option]:
    """Every field of a recipe, and of its nested models, that has a flag or a positional argument."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        flags = [m for m in field.metadata if isinstance(m, (Flag, Argument))]
        inner = next((t for t in alternatives(field.annotation) if _is_model(t)), None)
        if inner is not None and not flags:
            yield from options_of(inner, f"{path}.")
        for flag in flags:
            yield Option(path.replace(".", "__"), path, field, flag)


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, without ``None``."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(t for t in get_args(annotation) if t is not type(None))
    return (annotation,)


def _is_model(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, BaseModel)
