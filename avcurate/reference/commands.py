"""Every command with its help, arguments and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from avcurate.cli.app import app


def every_command() -> Iterator[tuple[str, Any]]:
    """(name, command) of each command and subcommand, in the order of ``--help``."""
    group: Any = typer.main.get_command(app)
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield name, command
        for inner, sub in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", sub


def commands_page() -> str:
    """The page, in Markdown."""
    parts = ["# Commands", "Written by `make reference` from the commands themselves."]
    for name, command in every_command():
        parts += [f"## `avcurate {name}`", _help(command.help or "")]
        rows = [
            _row(p) for p in getattr(command, "params", []) if p.name != "help" and not hasattr(command, "commands")
        ]
        if rows:
            parts.append("\n".join(["| argument or option | what it is |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _help(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()]
    return "\n".join(f"    {line}" if line.startswith("avcurate ") else line for line in lines)


def _row(parameter: Any) -> str:
    names = ", ".join(f"`{o}`" for o in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name != "option":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    about = " ".join((getattr(parameter, "help", "") or "").split()).replace("|", "\\|")
    return f"| {names} | {about}{' Required.' if parameter.required else ''} |"
