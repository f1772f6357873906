"""``swap``: put another sound under a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from avcurate.cli.console import StageBars, print_json
from avcurate.cli.label import Force, Json, Media, Run, Workers, mapping_of


def swap(
    pairs: Annotated[Path, typer.Argument(help="Table with clip and donor: pairs.jsonl of `avcurate pair`, or any.")],
    media: Media,
    out: Run,
    donors: Annotated[
        Path | None, typer.Option("--donors", help="Folder of the donors, clips or sounds; by default --media.")
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="FIELD=COLUMN for clip and donor; repeatable.")
    ] = None,
    fit: Annotated[
        Literal["loop", "pad"], typer.Option("--fit", help="A shorter sound is repeated, or followed by silence.")
    ] = "loop",
    match_loudness: Annotated[
        bool, typer.Option("--match-loudness/--keep-loudness", help="Bring the sound to the loudness it replaces.")
    ] = True,
    twins: Annotated[
        bool, typer.Option("--twins/--no-twins", help="Also write each clip with its own sound, made the same way.")
    ] = True,
    silent: Annotated[bool, typer.Option("--silent", help="Also write each clip with silence.")] = False,
    audio_only: Annotated[bool, typer.Option("--audio-only", help="Also write the new sound alone.")] = False,
    video_only: Annotated[bool, typer.Option("--video-only", help="Also write the picture alone.")] = False,
    workers: Workers = 2,
    force: Force = False,
    json_out: Json = False,
) -> None:
    """Make counterfactual clips: the picture's packets are copied bit for bit, the sound is another's.

    The sound is cut, repeated or padded to the picture's length and brought to the loudness it replaces. A hash over
    the picture's packets is compared before and after; files are named by what they are made of.

    Example: avcurate swap runs/pairs/pairs.jsonl --media clips -o counterfactual
    """
    from avcurate.chains.swapping import SwapJob, run_swap
    from avcurate.media.swap import SwapSpec
    from avcurate.report.terminal import print_funnel
    from avcurate.runner.rundir import RunDir

    spec = SwapSpec(fit=fit, match_loudness=match_loudness)
    job = SwapJob(
        pairs,
        media,
        donors or media,
        out,
        mapping_of(mapping),
        spec,
        twins,
        silent,
        audio_only,
        video_only,
        workers,
        force,
    )
    with StageBars(1, 1.0) as bars:
        run_swap(job, bars.begin)
    stages = {k: v for k, v in RunDir(out).record()["stages"].items() if "in" in v}
    if json_out:
        print_json({"run": str(out), "stages": stages})
        return
    print_funnel(stages)
    typer.echo(f"Clips: {out}/counterfactual" + (f", twins: {out}/factual" if twins else ""))
