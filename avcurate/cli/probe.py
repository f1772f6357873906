"""``probe``: one command for each task whose name begins with ``probe-``, those of plug-ins included."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

PREFIX = "probe-"
ABOUT = {
    "attention": "Show where a response's attention goes, by layer and by token.",
    "entropy": "Compare each token's entropy with and without a modality.",
    "knockout": "Cut attention and see which answers survive.",
    "lens": "Decode hidden states: what the model heard and did not say.",
    "masking": "Silence the sound that attention ranks first, and random sound (ACS).",
    "preference": "Which modality answers follow where sound and picture conflict.",
    "shift": "Measure how far a response's tokens have moved from a base model.",
    "sinks": "Find the sink tokens, and which of them gather one modality or both.",
    "trace": "Find the tokens that carry the evidence to the answer (causal tracing).",
}


class ProbeGroup(typer.core.TyperGroup):
    """Lists every probe by name, and builds one only when it is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Ours, then those of plug-ins."""
        from avcurate.tasks import TASKS

        names = [n.removeprefix(PREFIX) for n in TASKS.names() if n.startswith(PREFIX)]
        return [*ABOUT, *(n for n in names if n not in ABOUT)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Build the command; ``None`` if there is none of that name."""
        from avcurate.tasks import TASKS

        if PREFIX + cmd_name not in TASKS:
            return None
        from avcurate.cli.commands import command_of
        from avcurate.cli.single import single

        return single(cmd_name, command_of(TASKS.get(PREFIX + cmd_name)))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List names and descriptions without building the commands."""
        rows = [(n, ABOUT.get(n, "Provided by a plug-in; see its own --help.")) for n in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Plain help: Typer's own would build every command to list it."""
        super(typer.core.TyperGroup, self).format_help(ctx, formatter)


app = typer.Typer(
    name="probe",
    cls=ProbeGroup,
    help="Look inside an omni model while it answers: one run directory per probe, resumable like every other.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def probe() -> None:
    """Look inside an omni model while it answers: one run directory per probe, resumable like every other.

    Example: avcurate probe attention QA.json --media clips -m MODEL -o runs/attention
    """
