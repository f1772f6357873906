"""Interface of a task. The runner does the rest, so each guarantee is implemented once for all commands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from avcurate.errors import UserError
from avcurate.recipe import Required, Strict, TaskRecipe
from avcurate.runner.rundir import RunDir
from avcurate.viewer.view import View

if TYPE_CHECKING:
    from rich.console import Console

    from avcurate.engines.base import Engine
    from avcurate.engines.detector import Detector
    from avcurate.engines.embedder import Embedder
    from avcurate.runner.job import How, Job
    from avcurate.runner.tally import Begin, Tally

R = TypeVar("R", bound=TaskRecipe)


@dataclass(frozen=True)
class Context:
    """Where a task runs, and components that replace the recipe's.

    Attributes:
        out: the run directory.
        engine: replaces the recipe's model; embedder and detector likewise.
    """

    out: Path
    engine: Engine | None = None
    embedder: Embedder | None = None
    detector: Detector | None = None


class Task(ABC, Generic[R]):
    """One thing a user runs. The class's docstring is the command's help, with an example.

    Attributes:
        name: name of the command, and ``kind`` in its recipes.
        recipe: all of its options; the field ``input`` holds what it reads.
        default: the recipe used when none is named; empty: the model's own defaults.
        view: how `avcurate view` shows its rows.
    """

    name: ClassVar[str]
    recipe: ClassVar[type[TaskRecipe]]
    default: ClassVar[str] = ""
    view: ClassVar[View] = View()

    @abstractmethod
    def plan(self, recipe: R, context: Context) -> Job:
        """The source, the stages and the files written after them. Loads nothing large.

        Raises:
            UserError: options contradict each other.
        """

    def run(self, recipe: R, context: Context, how: How, begin: Begin) -> dict[str, Tally]:
        """Run it; a task that is not a sequence of stages overrides this."""
        from avcurate.runner.job import run_job
        from avcurate.tasks.about import about

        return run_job(context.out, about(self.name, recipe), lambda: self.plan(recipe, context), how, begin)

    def label_of(self, recipe: R, stage: str, row: dict[str, Any]) -> str | None:
        """A word to count beside a stage's bar, e.g. the label a row would get; ``None``: nothing."""
        return None

    def speaks(self) -> bool:
        """Whether this process shows what was done; false where another process of the same command does."""
        return True

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Summary of a finished run, as ``--json`` prints it."""
        return {"run": str(run.root)}

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print the summary, below the row counts."""

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path | None:
        """Write the run's page, ``report.html``; ``None`` if the task has none."""
        return None


def require_inputs(inputs: Strict, task: str) -> None:
    """Refuse a recipe without its required inputs.

    Raises:
        UserError: an input with :class:`Required` is missing.
    """
    for name, field in type(inputs).model_fields.items():
        required = any(isinstance(m, Required) for m in field.metadata)
        if required and getattr(inputs, name) in (None, ""):
            raise UserError(
                f"{task} needs input.{name}: {field.description or 'see its help'}",
                f"Give it on the command line or in the recipe; see `avcurate {task} --help`.",
            )
