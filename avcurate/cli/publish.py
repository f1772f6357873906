"""``export``: labelled rows as training shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import bar, print_json


def export(
    run: Annotated[Path, typer.Argument(help="Run directory of label-pem; with --unlabelled of eval or ingest.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the shards.")],
    to: Annotated[
        str, typer.Option("--to", help="parquet, jsonl, hf (a Hugging Face dataset folder) or ms-swift.")
    ] = "parquet",
    validation: Annotated[
        float, typer.Option("--validation", help="Share of source videos for validation.", min=0, max=0.9)
    ] = 0.05,
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", help="Minimum label confidence.", min=0, max=1)
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split.")] = 0,
    media: Annotated[
        Path | None, typer.Option("--media", help="Folder of the clips, if they have moved since the run.")
    ] = None,
    drop_blind: Annotated[
        bool, typer.Option("--drop-blind", help="Leave out what was solved without its clip (label-pem --blind).")
    ] = False,
    drop_rejected: Annotated[
        bool, typer.Option("--drop-rejected", help="Leave out labels that people rejected (avcurate review).")
    ] = False,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="All questions of an eval or ingest run, without PEMs.")
    ] = False,
    json_out: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write labelled rows as training shards, split so that no source video is in both.

    Examples:

      avcurate export runs/pem -o shards

      avcurate export runs/pem -o shards-jsonl --to jsonl --validation 0.1

      avcurate export runs/pem -o swift --to ms-swift

      avcurate export runs/mmau -o audio-shards --unlabelled
    """
    from avcurate.publish.shards import export_run
    from avcurate.publish.swift import export_swift
    from avcurate.review.verdicts import rejected_items
    from avcurate.runner.rundir import RunDir

    if to == "ms-swift":
        with bar("media", 0, "questions") as progress:
            facts = export_swift(
                RunDir(run),
                out,
                validation,
                min_confidence,
                seed,
                media=media,
                tick=lambda done, total: progress(done, total=total),
            )
    else:
        facts = export_run(
            RunDir(run),
            out,
            to,
            validation,
            min_confidence,
            seed,
            media,
            drop_blind=drop_blind,
            unlabelled=unlabelled,
            dropped=frozenset(rejected_items(RunDir(run))) if drop_rejected else frozenset(),
        )
    if json_out:
        print_json(facts)
    else:
        for split, n in facts["rows"].items():
            typer.echo(f"{split}: {n:,} rows")
        typer.echo(f"Shards: {out}")
