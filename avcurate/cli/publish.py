"""``export``: labelled rows as training shards; ``publish``: shards on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import bar, print_json


def export(
    run: Annotated[Path, typer.Argument(help="Run directory of label-pem; with --unlabelled of eval or ingest.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the shards.")],
    to: Annotated[
        str,
        typer.Option(
            "--to", help="parquet, jsonl, hf (parquet, as the Hub reads it), webdataset (with clips) or ms-swift."
        ),
    ] = "parquet",
    validation: Annotated[
        float, typer.Option("--validation", help="Share of source videos for validation.", min=0, max=0.9)
    ] = 0.05,
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", help="Minimum label confidence.", min=0, max=1)
    ] = 0.0,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="COLUMN=VALUE, e.g. pem=Audio or source=avqa; repeatable.")
    ] = None,
    difficulty: Annotated[
        str | None, typer.Option("--difficulty", help="LOW:HIGH, share of right answers under both, e.g. 0.5:0.9.")
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option("--balance", help="pem, source or question_type: add a weight that makes groups equal."),
    ] = None,
    at_most: Annotated[
        int, typer.Option("--at-most", help="Rows of each group (of --balance, else of pem) in a split; 0: all.", min=0)
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split, and of what --at-most keeps.")] = 0,
    media: Annotated[
        Path | None, typer.Option("--media", help="Folder of the clips, if they have moved since the run.")
    ] = None,
    embed: Annotated[
        str | None, typer.Option("--embed", help="audio or video: put each row's clip into the shards as a column.")
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", help="Licence for the card, e.g. cc-by-4.0; needed to publish clips.")
    ] = "",
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

    Beside the data files: a dataset card with funnel, model, recipe and precision, Croissant metadata, and checksums.

    Examples:

      avcurate export runs/pem -o shards

      avcurate export runs/pem -o shards --balance pem --at-most 5000 --difficulty 0.75:0.95

      avcurate export runs/pem -o shards --to webdataset

      avcurate export runs/pem -o swift --to ms-swift

      avcurate export runs/mmau -o audio-shards --unlabelled
    """
    from avcurate.cli.commands import columns_of
    from avcurate.errors import UserError
    from avcurate.publish.selection import Selection
    from avcurate.publish.shards import Form, export_run
    from avcurate.publish.swift import export_swift
    from avcurate.review.verdicts import rejected_items
    from avcurate.runner.rundir import RunDir

    if embed not in (None, "audio", "video"):
        raise UserError(f"--embed {embed} is not known.", "Give audio or video.")
    values: dict[str, tuple[str, ...]] = {}
    for word in only or []:
        for name, value in columns_of([word]).items():
            values[name] = (*values.get(name, ()), value)
    selection = Selection(
        validation,
        min_confidence,
        seed,
        drop_blind,
        unlabelled,
        frozenset(rejected_items(RunDir(run))) if drop_rejected else frozenset(),
        values,
        None if difficulty is None else _range(difficulty),
        balance,
        at_most,
    )
    if to == "ms-swift":
        with bar("media", 0, "questions") as progress:
            facts = export_swift(
                RunDir(run), out, selection, media=media, tick=lambda done, total: progress(done, total=total)
            )
    else:
        facts = export_run(RunDir(run), out, Form(to, media, embed, licence), selection)  # type: ignore[arg-type]
    if json_out:
        print_json(facts)
    else:
        for split, n in facts["rows"].items():
            typer.echo(f"{split}: {n:,} rows")


def _range(text: str) -> tuple[float, float]:
    from avcurate.errors import UserError

    try:
        low, high = (float(x) for x in text.split(":"))
        if 0 <= low <= high <= 1:
            return low, high
    except ValueError:
        pass
    raise UserError(f"--difficulty {text} is not LOW:HIGH between 0 and 1.", "For example: --difficulty 0.5:0.9")


def publish(
    folder: Annotated[Path, typer.Argument(help="Folder that `avcurate export` wrote.")],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME of the dataset on the Hub.")],
    public: Annotated[
        bool, typer.Option("--public", help="Make a new dataset public; by default it is private.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="A server other than huggingface.co.", envvar="HF_ENDPOINT")
    ] = None,
    json_out: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Upload an exported folder to the Hugging Face Hub as one commit, private by default.

    Every file is checked first. An interrupted upload goes on with the same command: large files that are there already
    are not sent again. Log in with `hf auth login`, or set HF_TOKEN.

    Examples:

      avcurate publish shards my-lab/avqa-pem --dry-run

      avcurate publish shards my-lab/avqa-pem
    """
    from avcurate.publish.hub import publish as upload

    said = upload(folder, repo, public=public, dry_run=dry_run, endpoint=endpoint)
    if json_out:
        print_json(said)
        return
    kind = "private" if said["private"] else "public"
    size = f"{said['files']:,} files, {said['bytes'] / 1e6:,.1f} MB"
    if dry_run:
        typer.echo(f"Would send {size} to {repo} ({kind} if it is new):")
        for path in said["paths"]:
            typer.echo(f"  {path}")
    else:
        typer.echo(f"Sent {size}: {said['url']}")
