"""``doctor`` and ``plugins``: what is installed, what is missing, what can be named."""

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
    from avcurate.engines.doctor import examine

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


def plugins(
    json_out: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List what recipes can name (tasks, formats, engines, families, rewards, algorithms) and where each comes from.

    A package of your own adds any of them by an entry point; see docs/examples.

    Example: avcurate plugins
    """
    from avcurate.plugins import registries

    found = {r.kind: [vars(o) for o in r.origins()] for r in registries()}
    if json_out:
        print_json(found)
        return
    for kind, origins in found.items():
        typer.secho(kind, bold=True)
        for o in origins:
            typer.echo(f"  {o['name']:<24} {o['package']:<20} {o['target']}")
