"""``pair``: choose for each picture a sound that says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import StageBars, print_json
from avcurate.cli.label import EmbedderName, Force, Json, RecipeName, Run, Seed, Workers, mapping_of


def pair(
    captions: Annotated[
        Path, typer.Argument(help="AudioCaps csv, or a table with clip, audio_caption, video_caption, answer, split.")
    ],
    out: Run,
    media: Annotated[
        Path | None, typer.Option("--media", help="Folder of the clips: lengths, levels and equal sounds are heeded.")
    ] = None,
    video_captions: Annotated[
        Path | None, typer.Option("--video-captions", help="Captions of the pictures: v.jsonl of `avcurate caption`.")
    ] = None,
    mapping: Annotated[list[str] | None, typer.Option("--map", help="FIELD=COLUMN; repeatable.")] = None,
    recipe: RecipeName = "pair",
    embedder: EmbedderName = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="A donor whose caption is as near as this is refused (cosine).")
    ] = None,
    seed: Seed = None,
    workers: Workers = 2,
    force: Force = False,
    json_out: Json = False,
) -> None:
    """Pair each clip with a donor whose sound says something else, one to one, at the least total similarity.

    Refused are donors whose caption is too near the clip's audio or video caption, or says the clip's answer; donors
    from the same video, with nearly the same sound, too short, too quiet, or of another split. Up to 2,048 clips are
    solved exactly, more in blocks. Writes pairs.jsonl for `avcurate swap`.

    Example: avcurate pair audiocaps_test.csv --media clips -o runs/pairs
    """
    from avcurate.chains.pairing import PairJob, run_pair, summarise_pair
    from avcurate.recipe import load_pair
    from avcurate.report.pairing import print_pairing
    from avcurate.report.terminal import print_funnel
    from avcurate.runner.rundir import RunDir

    chosen = load_pair(recipe, {"embedder": embedder, "threshold": threshold, "seed": seed})
    job = PairJob(captions, out, chosen, media, video_captions, mapping_of(mapping), workers, force)
    with StageBars(1, 1.0) as bars:
        run_pair(job, bars.begin)
    run = RunDir(out)
    stages = {k: v for k, v in run.record()["stages"].items() if "in" in v}
    summary = summarise_pair(run)
    if json_out:
        print_json(summary | {"stages": stages})
        return
    print_funnel(stages)
    print_pairing(summary)
