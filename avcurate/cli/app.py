"""The ``avcurate`` command. A command's module is imported only when it is run or its help is shown."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from avcurate import __version__
from avcurate.errors import AvcurateError, NothingKept, StepFailed, Stopped, TooManyDead

# listed by --help, so that listing imports nothing: name, where it is defined, what it does
TASK_HELP = {
    "label-pem": "Label each question's Preferred Evidence Modality: Audio, Visual or Audio-Visual.",
    "dominance": "Find clips that one modality decides.",
    "objects": "List what is in the picture of every clip.",
    "caption": "Describe clips under audio only, video only and both.",
    "hallucination": "Measure what captions hallucinate: CHAIR, F1, ALOHa.",
    "pair": "Pair each picture with a sound that contradicts it.",
    "swap": "Make counterfactual clips: the picture of one clip with the sound of another.",
    "judge": "Score captions for sound and picture with a language model.",
    "eval": "Evaluate a model under A, V, AV and forced PEMs.",
    "grade": "Score open answers with a judge, choices by meaning, instructions by form.",
    "leak": "Find questions that text, picture or sound alone answers.",
    "train": "Train on curated shards: GRPO, MAPO or SFT.",
}
GROUPED = ("probe-", "benchmark-")
"""Tasks with these prefixes are commands of ``avcurate probe`` and ``avcurate benchmark``."""
OTHERS = {
    "ingest": ("avcurate.cli.label:ingest", "Read an annotation file into question rows, without running a model."),
    "plan": ("avcurate.cli.label:plan", "Estimate clips, seconds, tokens, responses and disk space of a run."),
    "run": ("avcurate.cli.run_cmds:run", "Run a recipe of any task, or repeat a recorded run."),
    "label": ("avcurate.cli.label:relabel", "Relabel a run with other thresholds, without a model."),
    "sweep": ("avcurate.cli.label:sweep", "Label over a grid of thresholds, from stored responses."),
    "retest": ("avcurate.cli.label:retest", "Ask some labelled questions again: does confidence keep its word?"),
    "status": ("avcurate.cli.run_cmds:status", "Show the progress of a run, and why rows died."),
    "retry": ("avcurate.cli.run_cmds:retry", "Retry dead rows, all or those with given reasons."),
    "view": ("avcurate.cli.view:view", "Look at rows: search, filter, play, see how each label came to be."),
    "report": ("avcurate.cli.run_cmds:report", "Rewrite the page of a run."),
    "verify": ("avcurate.cli.run_cmds:verify", "Check every file of a run against its checksum."),
    "export": ("avcurate.cli.publish:export", "Write labelled rows as training shards."),
    "publish": ("avcurate.cli.publish:publish", "Upload exported shards to the Hugging Face Hub."),
    "probe": ("avcurate.cli.probe:app", "Look inside a model: attention, knockout, lens, shift, entropy and more."),
    "attend": ("avcurate.cli.attend:attend", "Measure the attention of responses to sound and picture."),
    "audit": ("avcurate.cli.audit:audit", "Show counterfactual pairs side by side, and what leaked."),
    "review": ("avcurate.cli.audit:review", "Review pairs or labels blind, by keyboard."),
    "paper": ("avcurate.cli.paper:paper", "Print finished runs as a table of one of the papers."),
    "check": ("avcurate.cli.check:check", "Check a model on this machine before labelling."),
    "doctor": ("avcurate.cli.inspect_cmds:doctor", "Show what is installed, and which known problems apply."),
    "plugins": ("avcurate.cli.inspect_cmds:plugins", "List what recipes can refer to, and where each comes from."),
    "recipe": ("avcurate.cli.recipes:recipe_app", "List, show and validate recipes."),
    "prompt": ("avcurate.cli.recipes:prompt_app", "List and show prompts."),
    "benchmark": (
        "avcurate.cli.benchmark:app",
        "Build benchmarks: clips from lists, hallucination questions.",
    ),
    "demo": ("avcurate.cli.demo:app", "A synthetic world with known truth, and a model that hears and sees it."),
}


class LazyGroup(typer.core.TyperGroup):
    """Lists every command by name, plug-in tasks included, and builds one only when it is used."""

    # Typer may bring its own copy of click, so its types are not named here
    def list_commands(self, ctx: Any) -> list[str]:
        """Built-in commands in order, then those of plug-ins."""
        from avcurate.tasks import TASKS

        added = (n for n in TASKS.names() if n not in TASK_HELP and not n.startswith(GROUPED))
        return [*TASK_HELP, *OTHERS, *added]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Build the command; ``None`` if there is none of that name."""
        from avcurate.tasks import TASKS

        if cmd_name in OTHERS:
            return _click_command(cmd_name, _imported(OTHERS[cmd_name][0]))
        if cmd_name in TASKS:
            from avcurate.cli.commands import command_of

            return _click_command(cmd_name, command_of(TASKS.get(cmd_name)))
        return None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List names and descriptions without building the commands."""
        known = {**TASK_HELP, **{n: about for n, (_, about) in OTHERS.items()}}
        rows = [(n, known.get(n, "Provided by a plug-in; see its own --help.")) for n in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Plain help: Typer's own would build every command to list it."""
        super(typer.core.TyperGroup, self).format_help(ctx, formatter)


def _imported(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _click_command(name: str, target: Any) -> Any:
    if isinstance(target, typer.Typer):
        group = typer.main.get_group(target)
        group.name = name
        return group
    from avcurate.cli.single import single

    return single(name, target)


app = typer.Typer(
    name="avcurate",
    cls=LazyGroup,
    help="Curate and label data for audio-visual LLMs, and train on what was curated.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"avcurate {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", envvar="AVCURATE_DEBUG")
    ] = False,
    log_level: Annotated[
        str, typer.Option("--log-level", help="debug, info, warning or error.", envvar="AVCURATE_LOG_LEVEL")
    ] = "info",
    log_file: Annotated[
        Path | None, typer.Option("--log-file", help="Also write messages to this file.", envvar="AVCURATE_LOG_FILE")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Curate and label data for audio-visual LLMs, and train on what was curated."""
    from avcurate.cli.logs import configure

    if debug:
        os.environ["AVCURATE_DEBUG"] = "1"
    configure(log_level, log_file)


def main() -> None:
    """Run the command line; an error prints one sentence and the next step.

    Exit codes: 0 done, 1 user error, 2 usage, 3 stopped on dead rows or nothing kept, 130 and 143 interrupted
    (resumable).
    """
    from avcurate.cli.interrupts import interrupted, stop_on_signals

    stop_on_signals()
    try:
        app()
    except AvcurateError as e:
        _fail(e)
    except Stopped as e:
        interrupted(e.code)
    except Exception as e:
        from avcurate.runner.isolate import refuse_machine_errors

        if os.environ.get("AVCURATE_DEBUG"):
            raise
        try:
            refuse_machine_errors(e)
        except AvcurateError as machine:
            _fail(machine)
        if isinstance(e, OSError):
            _fail(
                AvcurateError(
                    f"{e.strerror or e}: {e.filename or ''}".rstrip(": "), "Check the path and its permissions."
                )
            )
        _fail(
            AvcurateError(
                f"avcurate failed: {type(e).__name__}: {str(e)[:500]}",
                "Run it again with --debug for the traceback, and report it.",
            )
        )


def _fail(e: AvcurateError) -> None:
    if os.environ.get("AVCURATE_DEBUG"):
        raise e
    from avcurate.cli.logs import EVENTS, one_line

    EVENTS.error("%s %s", one_line(e.message), one_line(e.hint or ""))
    typer.secho(f"Error: {e.message}", fg="red", err=True)
    if e.hint:
        typer.echo(e.hint, err=True)
    code = e.code if isinstance(e, StepFailed) and e.code > 0 else 1
    sys.exit(3 if isinstance(e, (TooManyDead, NothingKept)) else code)


if __name__ == "__main__":
    main()
