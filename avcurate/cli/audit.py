"""``audit`` and ``review``: human inspection of counterfactual pairs and labels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import print_json


class Plan(StrEnum):
    """Which items are reviewed, and in which order."""

    random = "random"
    stratified = "stratified"
    lowest = "lowest"
    disagreements = "disagreements"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def audit(
    run: Annotated[Path, typer.Argument(help="A run of `avcurate swap`.")],
    evaluated: Annotated[
        Path | None,
        typer.Option("--eval", help="A run of `avcurate eval --swapped` under condition a, for a stronger leak check."),
    ] = None,
    json_out: Json = False,
) -> None:
    """Write a page that plays factual and counterfactual side by side, with captions, similarities and leaks.

    Example: avcurate audit runs/swap --eval runs/eval-counterfactual
    """
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks.swap.audit import audit as audit_run
    from avcurate.tasks.swap.audit_page import write_audit_page

    report = audit_run(RunDir(run), RunDir(evaluated) if evaluated else None)
    page = write_audit_page(run, report)
    if json_out:
        print_json(report | {"page": str(page)})
        return
    typer.echo(f"{report['pairs']} pairs; in {report['leaks']['says_answer']} the donor's captions contain an answer.")
    if report["asked"]:
        typer.echo(f"Still answered correctly from the new sound alone: {report['leaks']['still_heard']}.")
    typer.echo(f"Captions share words in {report['leaks']['shared_words']} pairs. Page: {page}")


def review(
    run: Annotated[
        Path, typer.Argument(help="A run of `swap`, `label-pem`, `benchmark hallucination`, `objects` or `caption`.")
    ],
    reviewer: Annotated[str, typer.Option("--reviewer", help="Your name; verdicts are stored per reviewer.")] = "me",
    plan: Annotated[
        Plan,
        typer.Option("--plan", help="random; stratified: groups in turn; lowest confidence first; disagreements."),
    ] = Plan.stratified,
    limit: Annotated[int, typer.Option("--limit", help="Items to review; 0 for all.", min=0)] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Seed for choosing and ordering items.")] = 0,
    port: Annotated[
        int | None, typer.Option("--port", help="Port of the local page; by default 8765, or any if in use.", min=0)
    ] = None,
    results: Annotated[bool, typer.Option("--results", help="Print agreement only, without serving the page.")] = False,
    json_out: Json = False,
) -> None:
    """Review pairs, labels, answers, objects or captions blind, by keyboard, on a page for this machine alone.

    The page hides the expected verdict. Verdicts are saved as they are given and become columns of review.parquet;
    `view` filters by them, and `export --drop-rejected` leaves out what people reject. Printed are Cohen's κ with the
    expected verdict and between reviewers, Krippendorff's α, and what share of the whole run people would confirm, all
    with intervals.

    Examples:

      avcurate review runs/pem --reviewer ann --limit 200

      avcurate review runs/pem --reviewer bob --plan lowest

      avcurate review runs/pem --results
    """
    from avcurate.review.items import all_items
    from avcurate.review.plans import planned
    from avcurate.review.terminal import print_agreement
    from avcurate.review.verdicts import agreement, export_verdicts, read_verdicts
    from avcurate.runner.rundir import RunDir

    run_dir = RunDir(run)
    items = all_items(run_dir, seed)
    if not results:
        from avcurate.review.app import make_review
        from avcurate.viewer.serve import serve_app

        chosen = planned(items, plan.value, limit, seed, read_verdicts(run_dir))
        serve_app(
            lambda token: make_review(run_dir, chosen, reviewer, token),
            port,
            lambda url: typer.echo(f"Open {url} (Ctrl+C ends)", err=True),
        )
    export_verdicts(run_dir)
    result = agreement(run_dir, items)
    if json_out:
        print_json(result)
    else:
        print_agreement(result)
