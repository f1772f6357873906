"""``doctor`` and ``plugins``: what is installed, what is missing, what recipes can refer to."""

from __future__ import annotations

from typing import Annotated

import typer

from avcurate.cli.console import print_json


def doctor(
    json_out: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check ffmpeg, engines and embedder, and report known problems of the installed versions.

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
    """List tasks, formats, engines, families, rewards and algorithms, and the package each comes from.

    Your own package can add any of them through an entry point; see docs/examples.

    Example: avcurate plugins
    """
    from avcurate.plugins import registries

    by_kind = {r.kind: [vars(o) for o in r.origins()] for r in registries()}
    if json_out:
        print_json(by_kind)
        return
    for kind, origins in by_kind.items():
        typer.secho(kind, bold=True)
        for o in origins:
            typer.echo(f"  {o['name']:<24} {o['package']:<20} {o['target']}")
