"""Every kind of recipe with its fields."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from avcurate.recipe import Argument, Flag, Strict, read_recipe, shipped
from avcurate.reference.markdown import cell, code
from avcurate.tasks import TASKS
from avcurate.tasks.kinds import OTHERS, recipe_model

INTRO = """# Recipes

Written by `make reference` from the recipes' models. Each field can be given on the command line with
`--set FIELD=VALUE`, those of daily use with a flag, too. `avcurate recipe show NAME` prints a recipe with every default
filled in, `recipe diff` what two of them differ in, and `recipe schema KIND` this page for machines."""
_BOUNDS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
_NAMES = {str: "text", Path: "path", int: "integer", float: "number", bool: "yes or no", Any: "anything"}
_HEAD = ["| field | type | default | flag | what it is |", "|---|---|---|---|---|"]


def recipes_page() -> str:
    """The page, in Markdown."""
    parts = [INTRO]
    for kind in [*TASKS.names(), *OTHERS]:
        rows = ["| " + " | ".join(row) + " |" for row in _rows(recipe_model(kind))]
        parts += [f"## {kind}", *_shipped(kind), "\n".join([*_HEAD, *rows])]
    return "\n\n".join(parts) + "\n"


def _shipped(kind: str) -> list[str]:
    """The recipes of a kind that come with the package."""
    found = []
    for name in shipped():
        data, _ = read_recipe(name)
        if data.get("kind", "label-pem") == kind:
            about = cell(str(data.get("about", ""))).rstrip(".")
            found.append(f"- `{name}`" + (f": {about}." if about else ""))
    return ["Recipes that come with the package:", "\n".join(found)] if found else []


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str, str]]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        # the page's heading says it
        if path == "kind":
            continue
        marks = [m for m in field.metadata if isinstance(m, (Flag, Argument))]
        inner = field.annotation if inspect.isclass(field.annotation) and issubclass(field.annotation, Strict) else None
        if inner is not None and not marks:
            yield from _rows(inner, f"{path}.")
            continue
        yield f"`{path}`", cell(_type(field)), _default(field), _flag(marks), cell(_about(field, marks))


def _about(field: FieldInfo, marks: list[Flag | Argument]) -> str:
    return field.description or next((m.help for m in marks if m.help), "")


def _flag(marks: list[Flag | Argument]) -> str:
    names = [n for m in marks if isinstance(m, Flag) for n in m.names]
    return ", ".join(f"`{n}`" for n in names) or ("by its place" if marks else "")


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        value = field.default_factory() if field.default_factory else None  # type: ignore[call-arg]
    else:
        value = field.default
    if value is None or value == "" or value == () or value == {}:
        return ""
    return code(str(value.model_dump(mode="json") if isinstance(value, BaseModel) else value))


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(m, slot)}"
        for m in field.metadata
        for kind, sign in _BOUNDS.items()
        if isinstance(m, kind)
        for slot in (kind.__name__.lower(),)
    ]
    return ", ".join([_name(field.annotation), *bounds])


def _name(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Annotated:
        return _name(get_args(kind)[0])
    if origin is Literal:
        return " or ".join(f"`{a}`" for a in get_args(kind))
    if origin in (Union, types.UnionType):
        return " or ".join(_name(a) for a in get_args(kind) if a is not type(None))
    if origin in (tuple, list):
        return f"list of {_name(get_args(kind)[0])}"
    if origin is dict:
        key, value = get_args(kind)
        return f"{_name(key)} → {_name(value)}"
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return "fields of " + re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
    return _NAMES.get(kind, str(kind))
