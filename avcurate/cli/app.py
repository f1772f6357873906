"""The ``avcurate`` command. Every command module is imported only when its command is run or asked about."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from avcurate import __version__
from avcurate.cli import (
    attend,
    audit,
    benchmark,
    caption,
    demo,
    dominance,
    evaluate,
    hallucination,
    inspect_cmds,
    judge,
    label,
    objects,
    pair,
    recipes,
    run_cmds,
    swap,
    train,
)
from avcurate.errors import AvcurateError, TooManyDead

app = typer.Typer(
    name="avcurate",
    help="Curate and label data for audio-visual LLMs, and train on what was curated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("label-pem")(label.label_pem)
app.command("ingest")(label.ingest)
app.command("label")(run_cmds.relabel)
app.command("sweep")(run_cmds.sweep)
app.command("retry")(label.retry)
app.command("status")(run_cmds.status)
app.command("report")(run_cmds.report)
app.command("export")(run_cmds.export)
app.command("plan")(label.plan)
app.command("caption")(caption.caption)
app.command("dominance")(dominance.dominance)
app.command("eval")(evaluate.evaluate)
app.command("attend")(attend.attend)
app.command("hallucination")(hallucination.hallucination)
app.command("judge")(judge.judge)
app.command("objects")(objects.objects)
app.command("pair")(pair.pair)
app.command("swap")(swap.swap)
app.command("audit")(audit.audit)
app.command("review")(audit.review)
app.command("train")(train.train)
app.command("doctor")(inspect_cmds.doctor)
app.add_typer(benchmark.app, name="benchmark")
app.add_typer(recipes.recipe_app, name="recipe")
app.add_typer(recipes.prompt_app, name="prompt")
app.add_typer(demo.app, name="demo")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"avcurate {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.", envvar="AVCURATE_DEBUG")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""
    if debug:
        os.environ["AVCURATE_DEBUG"] = "1"


def main() -> None:
    """Run the command line; errors are one sentence with the next step, and an exit code.

    0 done, 1 user error, 2 usage, 3 stopped on dead rows, 130 interrupted (resumable).
    """
    try:
        app()
    except AvcurateError as e:
        if os.environ.get("AVCURATE_DEBUG"):
            raise
        typer.secho(f"Error: {e.message}", fg="red", err=True)
        if e.hint:
            typer.echo(e.hint, err=True)
        sys.exit(3 if isinstance(e, TooManyDead) else 1)
    except KeyboardInterrupt:
        typer.echo("Interrupted. Run the same command again to go on where it stopped.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
