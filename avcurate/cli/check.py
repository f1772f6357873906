"""``check``: whether a model on this machine does what labelling relies on."""

from __future__ import annotations

from typing import Annotated

import typer

from avcurate.cli.console import print_json


def check(
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Recipe to be run, by name or file.")] = "label-pem",
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model that replaces the recipe's.")] = None,
    engine: Annotated[str | None, typer.Option("--engine", "-e", help="Engine that replaces the recipe's.")] = None,
    url: Annotated[list[str] | None, typer.Option("--url", help="Server; repeatable.")] = None,
    questions: Annotated[
        int, typer.Option("--questions", help="Estimate the hours for this many questions.", min=0)
    ] = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE for any field; repeatable.")] = None,
    json_out: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check a model before a night of labelling: hearing, token counts, batches, seeds, context, answers, speed.

    Exits with code 1 if there is a problem.

    Examples:

      avcurate check -m Qwen/Qwen3-Omni-30B-A3B-Instruct -e vllm -r label-pem-qwen3-omni --questions 40000

      avcurate check -r label-pem-server --url http://127.0.0.1:8000/v1
    """
    from avcurate.engines.conformance import Asked, Finding, conformance
    from avcurate.recipe import settings_of
    from avcurate.tasks.asking import AskRecipe
    from avcurate.tasks.kinds import recipe_kind
    from avcurate.tasks.run import load_recipe

    changes = {"model.model": model, "model.engine": engine, "model.urls": url or None, **settings_of(settings)}
    loaded = load_recipe(recipe_kind(recipe), recipe, changes)
    if not isinstance(loaded, AskRecipe):
        raise typer.BadParameter(f"{recipe} does not ask a model about clips.", param_hint="--recipe")
    spec = loaded.spec()
    asked = Asked(spec.prompt, spec.n, spec.sampling, spec.media, spec.interleaved, loaded.model.max_model_len)

    def print_finding(finding: Finding) -> None:
        if not json_out:
            typer.secho(f"{finding.state:<8}", fg={"ok": "green", "note": "yellow"}.get(finding.state, "red"), nl=False)
            typer.echo(f"{finding.what}: {finding.about}")

    findings = conformance(loaded.open(), asked, print_finding)
    rate = next((f.figures["questions_per_hour"] for f in findings if f.what == "speed"), 0.0)
    hours = questions / rate if questions and rate else None
    if json_out:
        print_json({"findings": [vars(f) for f in findings], "hours": hours})
    elif hours is not None:
        typer.echo(f"{questions:,} questions would take {hours:,.1f} hours at that rate.")
    if any(f.state == "problem" for f in findings):
        raise typer.Exit(1)
