"""``caption``: what a model says of clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import StageBars, print_json
from avcurate.cli.label import (
    EngineName,
    Force,
    Json,
    Limit,
    Media,
    Model,
    N,
    PartSize,
    Pattern,
    PromptName,
    RecipeName,
    RetryDead,
    Run,
    Seed,
    Temperature,
    Url,
    Workers,
    Zero,
)


def caption(
    clips: Annotated[Path, typer.Argument(help="Clip list: VGGSound, VGGSounder, or a csv with clip and label.")],
    media: Media,
    out: Run,
    recipe: RecipeName = "caption",
    model: Model = None,
    engine: EngineName = None,
    url: Url = None,
    prompt: PromptName = None,
    n: N = None,
    seed: Seed = None,
    temperature: Temperature = None,
    zero: Zero = False,
    media_pattern: Pattern = None,
    limit: Limit = 0,
    part_size: PartSize = 256,
    decode_workers: Workers = 2,
    force: Force = False,
    retry_dead: RetryDead = False,
    json_out: Json = False,
) -> None:
    """Describe clips under audio only, video only and both; with the guarantees of label-pem.

    Writes captions/a.jsonl, v.jsonl and av.jsonl, which `avcurate hallucination` reads.

    Example: avcurate caption animal/clips.csv --media clips -m Qwen/Qwen2.5-Omni-7B -o runs/captions
    """
    from avcurate.chains.captions import run_captions
    from avcurate.chains.clip_sampling import ClipJob
    from avcurate.recipe import load_recipe
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
        "ablation": "zero" if zero else None,
    }
    job = ClipJob(
        clips,
        media,
        out,
        load_recipe(recipe, overrides),
        media_pattern,
        limit,
        part_size,
        decode_workers,
        force,
        retry_dead,
    )
    with StageBars(1, 1.0) as bars:
        run_captions(job, bars.begin)
    stages = {k: v for k, v in RunDir(out).record()["stages"].items() if "in" in v}
    if json_out:
        print_json({"run": str(out), "stages": stages, "captions": str(out / "captions")})
        return
    print_funnel(stages)
    typer.echo(f"Captions: {out}/captions/a.jsonl, v.jsonl, av.jsonl")
