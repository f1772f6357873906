"""``dominance``: which modality decides what a model answers about a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from avcurate.cli.console import StageBars, print_json
from avcurate.cli.label import (
    EngineName,
    Force,
    Json,
    Limit,
    Model,
    N,
    PartSize,
    Pattern,
    RecipeName,
    RetryDead,
    Run,
    Seed,
    Temperature,
    Url,
    Workers,
)


def dominance(
    out: Run,
    clips: Annotated[
        Path | None, typer.Argument(help="Clip list: VGGSound, VGGSounder, or a csv with clip and label.")
    ] = None,
    media: Annotated[Path | None, typer.Option("--media", help="Folder of the clips.")] = None,
    pool: Annotated[str, typer.Option("--pool", help="Classes offered: pool recipe or file.")] = "pool-people",
    replay: Annotated[
        Path | None, typer.Option("--replay", help="Answers already made: JSON Lines with video_id, a, v, av.")
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="With --replay: clip list with the classes.")] = None,
    by: Annotated[
        Literal["prediction", "correctness"],
        typer.Option("--by", help="Decide on predictions (the label plays no part), or on hits of the label."),
    ] = "prediction",
    recipe: RecipeName = "dominance",
    model: Model = None,
    engine: EngineName = None,
    url: Url = None,
    n: N = None,
    seed: Seed = None,
    temperature: Temperature = None,
    drop: Annotated[bool, typer.Option("--drop", help="Leave the other modality out instead of zeroing it.")] = False,
    media_pattern: Pattern = None,
    limit: Limit = 0,
    part_size: PartSize = 256,
    decode_workers: Workers = 2,
    force: Force = False,
    retry_dead: RetryDead = False,
    json_out: Json = False,
) -> None:
    """Find clips that one modality decides: audio-dominant (AV = A, not V) and video-dominant (AV = V, not A).

    The model classifies each clip among the classes of a pool under audio only, video only and both; the order of the
    options is drawn per clip. With --n above 1 the majority counts and its share is kept.

    Examples:

      avcurate dominance vggsound.csv --media clips --pool pool-sports -m Qwen/Qwen2.5-Omni-7B -o runs/sports

      avcurate dominance --replay predictions.jsonl --labels vggsounder.csv -o runs/replayed
    """
    from avcurate.chains.clip_sampling import ClipJob
    from avcurate.chains.dominance import ReplayJob, run_dominance, summarise_dominance
    from avcurate.chains.dominance import replay as replay_run
    from avcurate.recipe import load_pool, load_recipe
    from avcurate.runner.rundir import RunDir

    with StageBars(1, 1.0) as bars:
        if replay is not None:
            replay_run(ReplayJob(replay, out, by, labels, force), bars.begin)
        elif clips is None or media is None:
            raise typer.BadParameter("give a clip list and --media, or --replay")
        else:
            overrides = {
                "model.model": model,
                "model.engine": engine,
                "model.urls": url or None,
                "n": n,
                "seed": seed,
                "sampling.temperature": temperature,
                "ablation": "drop" if drop else None,
            }
            job = ClipJob(
                clips, media, out, load_recipe(recipe, overrides), media_pattern, limit, part_size, decode_workers,
                force, retry_dead,
            )  # fmt: skip
            run_dominance(job, load_pool(pool), by, bars.begin)
    found = summarise_dominance(RunDir(out))
    found["stages"] = {k: v for k, v in RunDir(out).record()["stages"].items() if "in" in v}
    print_json(found) if json_out else _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    from avcurate.metrics.dominance import ABOUT
    from avcurate.report.terminal import console, print_funnel

    print_funnel(found["stages"])
    table = Table("dominance", "clips", "answer hits the label", title="Unimodal dominance", title_justify="left")
    for name, n in found["dominance"].items():
        agreement = found["label_agreement"].get(name)
        table.add_row(name, f"{n:,}", "-" if agreement is None else f"{agreement:.1%}")
    for name, n in found["none"].items():
        table.add_row(f"none: {ABOUT[name]}", f"{n:,}", "")
    out = console()
    out.print(table)
    out.print(f"Audio and video alone are answered differently on {found['disagree']:,} of {found['clips']:,} clips.")
    if found["labelled"]:
        out.print(
            f"Of {found['labelled']:,} clips with labels {found['hallucinated']:,} are answered with none of them, "
            f"{found['hallucinated_and_disagree']:,} of those where audio and video disagree."
        )
