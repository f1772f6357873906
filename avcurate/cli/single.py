"""One function as a command, for groups that build their commands only when they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
import typer.main


def single(name: str, target: Callable[..., Any]) -> Any:
    """One function as a command, under another Typer's group."""
    one = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    one.command(name)(target)
    command = typer.main.get_command(one)
    command.name = name
    return command
