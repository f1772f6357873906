"""``eval``: a model on a benchmark, under audio only, video only, both, and with the PEM forced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from avcurate.cli.console import StageBars, print_json
from avcurate.cli.label import (
    Annotations,
    EngineName,
    Force,
    FormatName,
    Json,
    Limit,
    Map,
    Media,
    Model,
    N,
    Pattern,
    PromptName,
    RecipeName,
    RetryDead,
    Run,
    Seed,
    Temperature,
    Url,
    Workers,
    mapping_of,
)

# see train.maam_scope: the first inner token is predicted by the opening tag
MAAM = "inner+open_tag"
ALL = "a,v,av,av+Audio,av+Visual,av+Audio-Visual"


def evaluate(
    annotations: Annotations,
    media: Media,
    out: Run,
    conditions: Annotated[
        str, typer.Option("--conditions", help=f"Comma-separated, of {ALL}; random and oracle follow from forced ones.")
    ] = "a,v,av",
    against: Annotated[
        Path | None, typer.Option("--against", help="Another eval run: paired differences, intervals, McNemar.")
    ] = None,
    swapped: Annotated[
        Path | None, typer.Option("--swapped", help="A run of `avcurate swap` whose clips stand in for the originals.")
    ] = None,
    variant: Annotated[
        Literal["counterfactual", "factual", "silent"], typer.Option("--variant", help="Which clips of --swapped.")
    ] = "counterfactual",
    maam: Annotated[
        bool,
        typer.Option("--maam", help="Decode under the modality-asymmetric attention mask; engine transformers only."),
    ] = False,
    recipe: RecipeName = "eval",
    model: Model = None,
    engine: EngineName = None,
    url: Url = None,
    prompt: PromptName = None,
    n: N = None,
    seed: Seed = None,
    temperature: Temperature = None,
    format_name: FormatName = "auto",
    mapping: Map = None,
    media_pattern: Pattern = None,
    limit: Limit = 0,
    decode_workers: Workers = 2,
    force: Force = False,
    retry_dead: RetryDead = False,
    json_out: Json = False,
) -> None:
    """Evaluate a model on AVHBench, AVQA, MUSIC-AVQA, Valor32k-AVQA or any table of questions.

    Prints accuracy with intervals, for yes/no questions precision, recall, F1 and the rate of Yes, the share of
    unreadable answers, and the papers' AVHBench average; writes report.md and report.html.

    Example: avcurate eval QA.json --media clips -m Qwen/Qwen2.5-Omni-7B --conditions a,v,av -o runs/avhbench
    """
    from avcurate.chains.evaluation import EvalJob, compare_runs, run_eval, summarise_eval
    from avcurate.chains.label_pem import Job
    from avcurate.recipe import load_recipe
    from avcurate.report.evaluation import print_evaluation, write_evaluation
    from avcurate.report.terminal import print_funnel
    from avcurate.runner.rundir import RunDir

    overrides = {
        "model.model": model,
        "model.engine": engine,
        "model.urls": url or None,
        "prompt": prompt,
        "n": n,
        "seed": seed,
        "sampling.temperature": temperature,
        "model.options.maam": MAAM if maam else None,
    }
    job = Job(
        annotations=annotations,
        media=media,
        run=out,
        recipe=load_recipe(recipe, overrides),
        format_name=format_name,
        mapping=mapping_of(mapping),
        media_pattern=media_pattern,
        limit=limit,
        decode_workers=decode_workers,
        force=force,
    )
    chosen = tuple(c.strip() for c in conditions.split(",") if c.strip())
    with StageBars(1, 1.0) as bars:
        run_eval(EvalJob(job, chosen, swapped, variant, retry_dead), bars.begin)
    run = RunDir(out)
    summary = summarise_eval(run)
    compared = compare_runs(run, RunDir(against)) if against else None
    page = write_evaluation(out, summary, compared, str(against))
    if json_out:
        print_json(summary | {"against": compared, "report": str(page)})
        return
    print_funnel(summary["stages"])
    print_evaluation(summary, compared, str(against))
    typer.echo(f"Report: {page} and report.md")
