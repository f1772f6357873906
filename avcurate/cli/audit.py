"""``audit`` and ``review``: counterfactual pairs and labels looked at by people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import print_json

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def audit(
    run: Annotated[Path, typer.Argument(help="A run of `avcurate swap`.")],
    evaluated: Annotated[
        Path | None,
        typer.Option("--eval", help="A run of `avcurate eval --swapped` under condition a: the stronger leak check."),
    ] = None,
    json_out: Json = False,
) -> None:
    """Write a page that plays factual and counterfactual side by side, with captions, similarities and leaks.

    Example: avcurate audit runs/swap --eval runs/eval-counterfactual
    """
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks.swap.audit import audit as look
    from avcurate.tasks.swap.audit_page import write_audit_page

    found = look(RunDir(run), RunDir(evaluated) if evaluated else None)
    page = write_audit_page(run, found)
    if json_out:
        print_json(found | {"page": str(page)})
        return
    typer.echo(f"{found['pairs']} pairs; the donor says an answer in {found['leaks']['says_answer']}.")
    if found["asked"]:
        typer.echo(f"Still answered rightly from the new sound alone: {found['leaks']['still_heard']}.")
    typer.echo(f"Captions share words in {found['leaks']['shared_words']}. Page: {page}")


def review(
    run: Annotated[Path, typer.Argument(help="A run of `avcurate swap` or `avcurate label-pem`.")],
    reviewer: Annotated[str, typer.Option("--reviewer", help="Your name; verdicts are kept by reviewer.")] = "me",
    limit: Annotated[int, typer.Option("--limit", help="Items to review; 0 for all.", min=0)] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Seed of which items, and of their order.")] = 0,
    port: Annotated[int, typer.Option("--port", help="Port of the local page; 0 takes a free one.")] = 0,
    results: Annotated[bool, typer.Option("--results", help="Only print agreement; serve nothing.")] = False,
    json_out: Json = False,
) -> None:
    """Review pairs or PEM labels blind, by keyboard, on a page that only this machine can open.

    The page does not say what is expected. Verdicts are kept as they are given and become columns of review.parquet;
    Cohen's κ with what is expected, and between reviewers, is printed.

    Example: avcurate review runs/swap --reviewer ann --limit 40
    """
    from avcurate.review.items import load_items
    from avcurate.review.terminal import print_agreement
    from avcurate.review.verdicts import agreement, export_verdicts
    from avcurate.runner.rundir import RunDir

    where = RunDir(run)
    items = load_items(where, limit, seed)
    if not results:
        from avcurate.review.server import serve

        serve(where, items, reviewer, port, lambda url: typer.echo(f"Open {url} (Ctrl+C ends)", err=True))
    export_verdicts(where)
    found = agreement(where)
    if json_out:
        print_json(found)
    else:
        print_agreement(found)
