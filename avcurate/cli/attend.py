"""``attend``: the attention of responses to sound and picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import bar, print_json


def attend(
    run: Annotated[Path, typer.Argument(help="A finished run of `avcurate eval` on an omni model.")],
    condition: Annotated[str, typer.Option("--condition", help="Condition whose responses are read.")] = "av",
    layers: Annotated[int, typer.Option("--layers", help="Number of last decoder layers to average.", min=1)] = 5,
    limit: Annotated[int, typer.Option("--limit", help="Read only the first questions; 0 for all.", min=0)] = 0,
    decode_workers: Annotated[int, typer.Option("--workers", help="Number of clips decoded in parallel.", min=1)] = 2,
    media: Annotated[
        Path | None, typer.Option("--media", help="Folder of the clips, if they have moved since the run.")
    ] = None,
    json_out: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show how much attention responses pay to sound and to picture, from their first quarter to their last.

    The model rereads its own responses, in one pass each; no attention matrix is kept. Writes RUN/attention.json.

    Example: avcurate attend runs/avhbench --condition av
    """
    from rich.table import Table

    from avcurate.report.terminal import console
    from avcurate.tasks.evaluate.attention import MODALITIES, AttendJob, run_attend

    with bar("attend", 0, "questions") as progress:
        result = run_attend(
            AttendJob(run, condition, layers, limit, decode_workers, media),
            lambda done, total: progress(done, total=total),
        )
    if json_out:
        print_json(result)
        return
    table = Table("attention to", "all", "1st quarter", "2nd", "3rd", "4th")
    for modality in MODALITIES:
        values = [result[modality]["all"], *result[modality]["quarters"]]
        table.add_row(modality, *["–" if v is None else f"{v:.3f}" for v in values])
    console().print(table)
    typer.echo(f"{result['responses']:,} responses, {result['skipped']:,} skipped (media).  {run / 'attention.json'}")
