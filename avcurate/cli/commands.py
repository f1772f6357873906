"""Commands generated from recipes: flags from fields, everything else through ``--set``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from avcurate.errors import NothingKept
from avcurate.recipe import Argument, Flag, Required, TaskRecipe, override, settings_of
from avcurate.tasks.base import Context, Task
from avcurate.tasks.options import Option, alternatives, options_of

SHARED: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "out": (Path, "Run directory; an existing one is resumed.", ("--out", "-o")),
    "recipe": (str, "Recipe name or .yaml file; see `avcurate recipe ls`.", ("--recipe", "-r")),
    "settings": (list[str], "KEY=VALUE for any recipe field, e.g. sampling.top_p=0.9; repeatable.", ("--set",)),
    "force": (bool, "Redo work done with another recipe, input or model.", ("--force",)),
    "retry_dead": (bool, "Retry rows that died before.", ("--retry-dead",)),
    "json_out": (bool, "Print one JSON document.", ("--json",)),
}


def command_of(task: type[Task[Any]]) -> Callable[..., None]:
    """The function that Typer turns into a command: one parameter per flag, in the recipe's order."""
    options = list(options_of(task.recipe))

    def command(**given: Any) -> None:
        changes = {o.path: _value(o, given[o.parameter]) for o in options}
        _run(task, changes, given)

    inputs = [o for o in options if o.path.startswith("input.")]
    run_options = [o for o in options if o.path.startswith("run.")]
    others = [o for o in options if o not in inputs and o not in run_options]
    parameters = [_parameter(o) for o in sorted(inputs, key=lambda o: not isinstance(o.flag, Argument))]
    parameters += [_shared(name, task) for name in ("out", "recipe")]
    parameters += [_parameter(o) for o in others] + [_parameter(o, "Run options") for o in run_options]
    parameters += [_shared(name, task) for name in SHARED if name not in ("out", "recipe")]
    command.__name__ = task.name.replace("-", "_")
    command.__doc__ = task.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _run(task: type[Task[Any]], changes: dict[str, Any], given: dict[str, Any]) -> None:
    from avcurate.tasks.run import recipe_of, written_recipe

    data, where = written_recipe(task, given["recipe"])
    data = override(override(data, changes), settings_of(given["settings"]))
    recipe = recipe_of(task, data, where)
    retry = frozenset[str]() if given["retry_dead"] else None
    run_and_show(task, recipe, given["out"], force=given["force"], retry=retry, json_out=given["json_out"])


def run_and_show(
    task: type[Task[Any]],
    recipe: TaskRecipe,
    out: Path,
    *,
    force: bool = False,
    retry: frozenset[str] | None = None,
    json_out: bool = False,
) -> None:
    """Run a task with progress bars, then show the results."""
    from avcurate.cli.console import StageBars
    from avcurate.tasks.run import run_task

    instance = task()
    if not instance.speaks():
        run_task(task, recipe, Context(out), force=force, retry=retry)
        return
    with StageBars(lambda stage, row: instance.label_of(recipe, stage, row)) as bars:
        run_task(task, recipe, Context(out), force=force, retry=retry, begin=bars.begin)
    refuse_nothing(show_run(task, out, json_out), recipe)


def refuse_nothing(summary: dict[str, Any], recipe: TaskRecipe) -> None:
    """Do not call a run a success in which every row was filtered or dead.

    Raises:
        NothingKept: a stage took rows and kept none; single rows that were asked for by name are exempt.
    """
    if recipe.run.only or recipe.run.records:
        return
    for name, counts in summary["stages"].items():
        if counts["in"] and not counts["kept"]:
            reasons = {**counts["filtered"], **counts["dead"]}
            listed = ", ".join(f"{reason} {n:,}" for reason, n in sorted(reasons.items(), key=lambda kv: -kv[1]))
            raise NothingKept(
                f"none of {counts['in']:,} rows came through {name}: {listed}.",
                f"See `avcurate status {summary['run']} --dead`: do the clips have what was asked about?",
            )


def summarised(task: type[Task[Any]], out: Path) -> dict[str, Any]:
    """Write the page of an existing run and return its summary."""
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.status import stage_counts

    run = RunDir(out)
    instance = task()
    summary = instance.summarise(run) | {"stages": stage_counts(run.record())}
    page = instance.page(run, summary)
    return summary | {"report": str(page) if page else None}


def show_run(task: type[Task[Any]], out: Path, json_out: bool) -> dict[str, Any]:
    """Print the summary of an existing run, write its page, and return the summary."""
    from avcurate.cli.console import print_json
    from avcurate.report.terminal import console, print_funnel

    summary = summarised(task, out)
    if json_out:
        print_json(summary)
        return summary
    print_funnel(summary["stages"])
    task().show(summary, console())
    if summary["report"] is not None:
        console().print(f"Report: {summary['report']}")
    return summary


def _type(option: Option) -> Any:
    kind = alternatives(option.field.annotation)[0]
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (tuple, dict):
        return list[str] if kind != tuple[int, ...] else list[int]
    return kind


def _parameter(option: Option, panel: str | None = None) -> inspect.Parameter:
    flag, about = option.flag, option.field.description or ""
    required = any(isinstance(m, Required) and m.flag for m in option.field.metadata)
    if isinstance(flag, Argument):
        kind, metavar = _type(option), option.path.rsplit(".", 1)[-1].upper()
        help_text = flag.help or about
        annotation: Any = Annotated[kind | None, typer.Argument(metavar=metavar, help=help_text)]
        default = inspect.Parameter.empty if required else None
        if required:
            annotation = Annotated[kind, typer.Argument(metavar=metavar, help=help_text)]
        return inspect.Parameter(
            option.parameter, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
    help_text = flag.help or about
    if flag.sets is not None:
        annotation = Annotated[bool, typer.Option(*flag.names, help=help_text, rich_help_panel=panel)]
        return inspect.Parameter(option.parameter, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
    kind = _type(option)
    shown = "" if required else _default(option)
    annotation = Annotated[
        kind | None, typer.Option(*flag.names, help=help_text + shown, show_default=False, rich_help_panel=panel)
    ]
    if required:
        annotation = Annotated[kind, typer.Option(*flag.names, help=help_text, rich_help_panel=panel)]
    default = inspect.Parameter.empty if required else None
    return inspect.Parameter(option.parameter, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _default(option: Option) -> str:
    """Help text for the field's default, which a recipe may override."""
    value = option.field.get_default(call_default_factory=True)
    if value in (None, "", (), {}) or isinstance(value, bool):
        return ""
    return f" [default: {value}]" if not isinstance(value, tuple) else f" [default: {','.join(map(str, value))}]"


def _shared(name: str, task: type[Task[Any]]) -> inspect.Parameter:
    kind, about, names = SHARED[name]
    default: Any = False if kind is bool else None
    if name == "recipe":
        about += f" [default: {task.default}]" if task.default else ""
    annotation: Any = Annotated[
        kind if kind is bool else kind | None, typer.Option(*names, help=about, show_default=False)
    ]
    if name == "out":
        default, annotation = inspect.Parameter.empty, Annotated[kind, typer.Option(*names, help=about)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _value(option: Option, given: Any) -> Any:
    """The value a flag sets in the recipe; ``None``: unchanged."""
    flag = option.flag
    if isinstance(flag, Flag) and flag.sets is not None:
        return flag.sets if given else None
    if given is None or given == []:
        return None
    kind = alternatives(option.field.annotation)[0]
    if get_origin(kind) is dict:
        return columns_of(given)
    if get_origin(kind) is tuple:
        return list(given)
    return str(given) if isinstance(given, Path) else given


def columns_of(words: list[str]) -> dict[str, str]:
    """Column of each field, from FIELD=COLUMN words."""
    columns = {}
    for word in words:
        name, equals, column = word.partition("=")
        if not equals or not name or not column:
            raise typer.BadParameter(f"{word!r} is not NAME=VALUE, e.g. --map question=Question or --only pem=Audio")
        columns[name] = column
    return columns
