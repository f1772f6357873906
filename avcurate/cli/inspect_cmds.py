"""``doctor``: what is installed, what is missing, and which known problems apply."""

from __future__ import annotations

from typing import Annotated

import typer

from avcurate.cli.console import print_json


def doctor(
    json_out: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check ffmpeg, engines and embedder, and tell which known problems of installed versions apply.

    Example: avcurate doctor
    """
    from avcurate.chains.doctor import examine

    findings = examine()
    if json_out:
        print_json(findings)
    else:
        for f in findings:
            colour = {"ok": "green", "note": "yellow", "problem": "red"}[f["state"]]
            typer.secho(f"{f['state']:<8}", fg=colour, nl=False)
            typer.echo(f"{f['what']}: {f['about']}")
    if any(f["state"] == "problem" for f in findings):
        raise typer.Exit(1)
