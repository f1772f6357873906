"""``objects``: what is in the picture of every clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avcurate.cli.console import StageBars, print_json
from avcurate.cli.label import Force, Json, Pattern, RetryDead, Run, Workers


def objects(
    media: Annotated[Path, typer.Option("--media", help="Folder of the clips.")],
    out: Run,
    clips: Annotated[
        Path | None,
        typer.Argument(help="Clip list: VGGSound, VGGSounder, or a csv with clip and label; none: the whole folder."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Object detection model, by name or folder, or a NanoDet .onnx file.")
    ] = "facebook/detr-resnet-50",
    revision: Annotated[str | None, typer.Option("--revision", help="Revision on the model hub.")] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Least score that counts.", min=0, max=1)] = 0.9,
    floor: Annotated[float, typer.Option("--floor", help="Least score that is stored.", min=0.01, max=1)] = 0.3,
    frames: Annotated[int, typer.Option("--frames", help="Frames a clip, spread evenly.", min=1)] = 10,
    seconds: Annotated[float, typer.Option("--seconds", help="Seconds of a clip that are looked at.", min=0.1)] = 10.0,
    batch: Annotated[int, typer.Option("--batch", help="Frames in one forward pass, across clips.", min=1)] = 40,
    media_pattern: Pattern = None,
    decode_workers: Workers = 2,
    sheets: Annotated[bool, typer.Option("--sheets/--no-sheets", help="Draw contact sheets with boxes.")] = True,
    force: Force = False,
    retry_dead: RetryDead = False,
    json_out: Json = False,
) -> None:
    """Object sets: the classes a list gives a clip, and what a detector sees in its frames, on one vocabulary.

    Detections are stored with frame, score and box, so another --threshold needs no detector.

    Examples:

      avcurate objects animal/clips.csv --media clips -o runs/objects

      avcurate objects --media clips -m nanodet.onnx --threshold 0.5 -o runs/objects
    """
    from avcurate.chains.objects import ObjectsJob, run_objects, summarise_objects
    from avcurate.report.objects import write_objects_page
    from avcurate.runner.rundir import RunDir

    job = ObjectsJob(
        clips, media, out, model, revision, threshold, floor, frames, seconds, batch, decode_workers, media_pattern,
        sheets, force, retry_dead,
    )  # fmt: skip
    with StageBars(1, 1.0) as bars:
        run_objects(job, bars.begin)
    found = summarise_objects(RunDir(out))
    found["stages"] = {k: v for k, v in RunDir(out).record()["stages"].items() if "in" in v}
    found["report"] = str(write_objects_page(RunDir(out), found))
    print_json(found) if json_out else _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    from avcurate.report.terminal import console, print_funnel

    print_funnel(found["stages"])
    table = Table("object", "clips", "of these only detected", title=f"{found['clips']:,} clips", title_justify="left")
    for name, n in list(found["objects"].items())[:20]:
        table.add_row(name, f"{n:,}", f"{found['only_detected'].get(name, 0):,}")
    out = console()
    out.print(table)
    if found["unmapped"]:
        listed = ", ".join(f"{k} ({n})" for k, n in list(found["unmapped"].items())[:10])
        out.print(f"Map to nothing: {listed}")
    out.print(f"Report: {found['report']}")
