"""What a chain's recipe says: variables, interpreters and steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from avcurate.errors import UserError
from avcurate.recipe import Strict

_NAME = r"[a-z0-9][a-z0-9_.-]*"
_PLACE = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
Name = Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
Value = str | int | float | bool | None


class Step(Strict):
    """One command of a chain. Its folder is OUT/NAME."""

    name: Name
    recipe: str | None = Field(None, description="Recipe, by name or file, that is run into the step's folder.")
    settings: dict[str, Value | list[Value]] = Field(
        default_factory=dict, description="Fields of the recipe, e.g. input.media: clips."
    )
    command: tuple[str, ...] | None = Field(
        None, description="Any other command of avcurate, e.g. [export, '{pem}', -o, '{shards}']."
    )
    python: str | None = Field(None, description="Interpreter, by its name under `python`; by default this one.")
    after: tuple[str, ...] | None = Field(
        None, description="Steps that have to be finished; by default the one before."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.recipe is None) == (self.command is None):
            raise ValueError(f"step {self.name} needs either recipe or command")
        if self.command is not None and self.settings:
            raise ValueError(f"step {self.name}: settings go with a recipe, not with a command")
        return self


class ChainRecipe(Strict):
    """Several commands in one file. ``{NAME}`` stands for a step's folder or a variable, ``{out}`` for the chain's."""

    kind: Literal["chain"] = "chain"
    name: str = Field("", description="What the recipe is called; recorded with the run.")
    about: str = Field("", description="What it is for, in a sentence.")
    out: str | None = Field(None, description="The chain's folder, where -o gives none.")
    vars: dict[Name, str | int | float] = Field(default_factory=dict, description="Values that steps name as {NAME}.")
    python: dict[Name, str] = Field(
        default_factory=dict, description="Interpreters by name, e.g. of an environment with the extra `train`."
    )
    steps: tuple[Step, ...] = Field(min_length=1, description="What is run, one after the other.")

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        names = [s.name for s in self.steps]
        reserved = ("out", "lock", "logs", "chain.json")
        twice = next((n for n in names if names.count(n) > 1 or n in self.vars or n in reserved), None)
        if twice is not None:
            raise ValueError(f"{twice!r} names more than one thing")
        for i, step in enumerate(self.steps):
            for earlier in step.after or ():
                if earlier not in names[:i]:
                    raise ValueError(f"step {step.name} comes after {earlier!r}, which is no step before it")
            if step.python is not None and step.python not in self.python:
                raise ValueError(f"step {step.name} runs in {step.python!r}, which is not listed under python")
            known = {*names, *self.vars, "out"}
            if any("\0" in text for text in _texts(step)):
                raise ValueError(f"step {step.name} holds a null byte")
            for text in _texts(step):
                unknown = next((n for n in _PLACE.findall(text) if n not in known), None)
                if unknown is not None:
                    raise ValueError(f"step {step.name} names {{{unknown}}}, which is no step or variable")
        return self


@dataclass(frozen=True)
class Planned:
    """A step ready to run.

    Attributes:
        words: the command, without ``avcurate``.
        python: its interpreter; empty: this one.
        folder: what it makes, or empties before it is done again.
        resumes: whether the same command goes on where it stopped; others are done once.
        after: names of steps that have to be finished.
        before: all steps that it builds on: those, those that they come after, and so on.
    """

    name: str
    words: tuple[str, ...]
    python: str
    folder: Path
    resumes: bool
    after: tuple[str, ...]
    before: tuple[str, ...]


def planned(chain: ChainRecipe, out: Path) -> list[Planned]:
    """The steps of a chain as commands.

    Raises:
        UserError: an interpreter is not there.
    """
    places = {k: str(v) for k, v in chain.vars.items()}
    places |= {"out": str(out), **{s.name: str(out / s.name) for s in chain.steps}}
    found: list[Planned] = []
    for step in chain.steps:
        if step.recipe is not None:
            settings = [f"{k}={_yaml(_filled(v, places))}" for k, v in step.settings.items()]
            sets = [word for s in settings for word in ("--set", s)]
            words = ("run", _fill(step.recipe, places), "-o", str(out / step.name), *sets)
        else:
            words = tuple(_fill(word, places) for word in step.command or ())
        python = _fill(chain.python[step.python], places) if step.python else ""
        if python and not Path(python).is_file():
            raise UserError(
                f"step {step.name} runs in {python}, which does not exist.",
                f"Make that environment, or name another with --set python.{step.python}=PATH.",
            )
        before = (found[-1].name,) if step.after is None and found else step.after or ()
        earlier = {s.name: s for s in found}
        behind = {n for b in before for n in (b, *earlier[b].before)}
        built_on = tuple(s.name for s in found if s.name in behind)
        found.append(Planned(step.name, words, python, out / step.name, step.recipe is not None, before, built_on))
    return found


def _texts(step: Step) -> list[str]:
    values = [x for v in step.settings.values() for x in (v if isinstance(v, list) else [v])]
    return [str(x) for x in (step.recipe, *(step.command or ()), *values) if x is not None]


def _fill(text: str, places: dict[str, str]) -> str:
    return _PLACE.sub(lambda m: places.get(m[1], m[0]), text)


def _filled(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(v, places) for v in value]
    return _fill(value, places) if isinstance(value, str) else value


def _yaml(value: Any) -> str:
    """A value as ``--set`` reads it back."""
    import yaml

    return (
        str(yaml.safe_dump(value, default_flow_style=True, width=1 << 20, allow_unicode=True))
        .removesuffix("...\n")
        .strip()
    )
