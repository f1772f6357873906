"""Recipe of a chain: variables, interpreters and steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from avcurate.errors import UserError
from avcurate.recipe import Strict

_NAME = r"[a-z0-9][a-z0-9_.-]*"
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.-]+)\}")
Name = Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
Value = str | int | float | bool | None


class Step(Strict):
    """One command of a chain. Its folder is OUT/NAME."""

    name: Name
    recipe: str | None = Field(None, description="Recipe, by name or file, to run into the step's folder.")
    settings: dict[str, Value | list[Value]] = Field(
        default_factory=dict, description="Fields of the recipe, e.g. input.media: clips."
    )
    command: tuple[str, ...] | None = Field(
        None, description="Any other command of avcurate, e.g. [export, '{pem}', -o, '{shards}']."
    )
    python: str | None = Field(None, description="Interpreter, by its name under `python`; by default the current one.")
    after: tuple[str, ...] | None = Field(
        None, description="Steps that must finish first; by default the previous one."
    )

    @model_validator(mode="after")
    def _recipe_or_command(self) -> Self:
        if (self.recipe is None) == (self.command is None):
            raise ValueError(f"step {self.name} needs either recipe or command")
        if self.command is not None and self.settings:
            raise ValueError(f"step {self.name}: settings need a recipe, not a command")
        return self


class ChainRecipe(Strict):
    """Several commands in one file. ``{NAME}`` stands for a step's folder or a variable, ``{out}`` for the chain's."""

    kind: Literal["chain"] = "chain"
    name: str = Field("", description="Name of the recipe; recorded with the run.")
    about: str = Field("", description="What it is for, in one sentence.")
    out: str | None = Field(None, description="The chain's folder, unless -o gives one.")
    vars: dict[Name, str | int | float] = Field(
        default_factory=dict, description="Values that steps refer to as {NAME}."
    )
    python: dict[Name, str] = Field(
        default_factory=dict, description="Interpreters by name, e.g. from an environment with the extra `train`."
    )
    steps: tuple[Step, ...] = Field(min_length=1, description="Steps, in order.")

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        names = [s.name for s in self.steps]
        reserved = ("out", "lock", "logs", "chain.json")
        duplicate = next((n for n in names if names.count(n) > 1 or n in self.vars or n in reserved), None)
        if duplicate is not None:
            raise ValueError(f"{duplicate!r} names more than one thing")
        for i, step in enumerate(self.steps):
            for earlier in step.after or ():
                if earlier not in names[:i]:
                    raise ValueError(f"step {step.name} comes after {earlier!r}, which is not an earlier step")
            if step.python is not None and step.python not in self.python:
                raise ValueError(f"step {step.name} runs in {step.python!r}, which is not listed under python")
            known = {*names, *self.vars, "out"}
            if any("\0" in text for text in _texts(step)):
                raise ValueError(f"step {step.name} contains a null byte")
            for text in _texts(step):
                unknown = next((n for n in _PLACEHOLDER.findall(text) if n not in known), None)
                if unknown is not None:
                    raise ValueError(f"step {step.name} refers to {{{unknown}}}, which is not a step or variable")
        return self


@dataclass(frozen=True)
class Planned:
    """A step ready to run.

    Attributes:
        words: the command, without ``avcurate``.
        python: its interpreter; empty: the current one.
        folder: its output, emptied before the step is repeated.
        resumes: whether the same command resumes where it stopped; others run once.
        after: names of steps that must finish first.
        before: all steps it builds on: those in ``after``, the ones they come after, and so on.
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
        UserError: an interpreter does not exist.
    """
    values = {k: str(v) for k, v in chain.vars.items()}
    values |= {"out": str(out), **{s.name: str(out / s.name) for s in chain.steps}}
    plan: list[Planned] = []
    for step in chain.steps:
        if step.recipe is not None:
            settings = [f"{k}={_yaml(_filled(v, values))}" for k, v in step.settings.items()]
            sets = [word for s in settings for word in ("--set", s)]
            words = ("run", _fill(step.recipe, values), "-o", str(out / step.name), *sets)
        else:
            words = tuple(_fill(word, values) for word in step.command or ())
        python = _fill(chain.python[step.python], values) if step.python else ""
        if python and not Path(python).is_file():
            raise UserError(
                f"step {step.name} runs in {python}, which does not exist.",
                f"Create that environment, or name another with --set python.{step.python}=PATH.",
            )
        after = (plan[-1].name,) if step.after is None and plan else step.after or ()
        earlier = {s.name: s for s in plan}
        upstream = {n for b in after for n in (b, *earlier[b].before)}
        before = tuple(s.name for s in plan if s.name in upstream)
        plan.append(Planned(step.name, words, python, out / step.name, step.recipe is not None, after, before))
    return plan


def _texts(step: Step) -> list[str]:
    values = [x for v in step.settings.values() for x in (v if isinstance(v, list) else [v])]
    return [str(x) for x in (step.recipe, *(step.command or ()), *values) if x is not None]


def _fill(text: str, values: dict[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda m: values.get(m[1], m[0]), text)


def _filled(value: Any, values: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(v, values) for v in value]
    return _fill(value, values) if isinstance(value, str) else value


def _yaml(value: Any) -> str:
    """A value as YAML that ``--set`` parses back."""
    import yaml

    return (
        str(yaml.safe_dump(value, default_flow_style=True, width=1 << 20, allow_unicode=True))
        .removesuffix("...\n")
        .strip()
    )
