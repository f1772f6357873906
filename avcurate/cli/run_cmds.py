"""Commands on a run that exists: ``label``, ``sweep``, ``status``, ``report``, ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import bar, print_json

RunArg = Annotated[Path, typer.Argument(help="Run directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def relabel(
    run: RunArg,
    tau_acc: Annotated[
        float | None, typer.Option("--tau-acc", help="Least correctness rate.", min=0.001, max=1)
    ] = None,
    tau_cot: Annotated[float | None, typer.Option("--tau-cot", help="Least consistency.", min=-1, max=1)] = None,
    json_out: Json = False,
) -> None:
    """Label a run again with other thresholds, from what is stored, and print what changed.

    No model is loaded. Rows whose stored responses cannot decide a looser threshold are counted as
    undecided; `avcurate label-pem` with that threshold asks only those again.

    Example: avcurate label runs/pem --tau-acc 0.875 --tau-cot 0.75
    """
    from avcurate.chains.relabel import relabel_run
    from avcurate.report.html import write_report
    from avcurate.report.terminal import print_relabel
    from avcurate.runner.rundir import RunDir

    with bar("label", 0, "rows") as progress:
        change = relabel_run(RunDir(run), tau_acc, tau_cot, lambda t, o, r: progress(t.done))
    write_report(RunDir(run))
    print_json(change) if json_out else print_relabel(change)


def sweep(
    run: RunArg,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="truth.jsonl of a demo world: adds precision and recall.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Table of labels over thresholds tau_acc × tau_cot, from what is stored.

    Example: avcurate sweep runs/demo --truth demo-world/truth.jsonl
    """
    from avcurate.chains.relabel import sweep_run
    from avcurate.report.terminal import print_sweep
    from avcurate.runner.rundir import RunDir

    rows = sweep_run(RunDir(run), truth)
    print_json(rows) if json_out else print_sweep(rows)


def status(
    run: RunArg,
    dead: Annotated[bool, typer.Option("--dead", help="List dead rows with their reasons and next steps.")] = False,
    json_out: Json = False,
) -> None:
    """How far a run is, also while it is running, and why rows died.

    Example: avcurate status runs/pem --dead
    """
    from avcurate.report.status import dead_rows, run_status
    from avcurate.report.terminal import print_dead, print_funnel
    from avcurate.runner.rundir import RunDir

    found = run_status(RunDir(run))
    if dead:
        found["dead_rows"] = dead_rows(RunDir(run))
    if json_out:
        print_json(found)
        return
    typer.echo(f"{run}: {found['state']}")
    print_funnel(found["stages"])
    if dead:
        print_dead(found["dead_rows"])


def report(run: RunArg, json_out: Json = False) -> None:
    """Write report.html, one page that needs no network, and print where it is.

    Example: avcurate report runs/pem
    """
    from avcurate.report.html import write_report
    from avcurate.report.summary import summarise
    from avcurate.runner.rundir import RunDir

    page = write_report(RunDir(run))
    if json_out:
        print_json(summarise(RunDir(run)) | {"report": str(page)})
    else:
        typer.echo(page)


def export(
    run: RunArg,
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the shards.")],
    to: Annotated[
        str, typer.Option("--to", help="parquet, jsonl, hf (a Hugging Face dataset folder) or ms-swift.")
    ] = "parquet",
    validation: Annotated[float, typer.Option("--validation", help="Share of source videos.", min=0, max=0.9)] = 0.05,
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", help="Least label confidence.", min=0, max=1)
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split.")] = 0,
    json_out: Json = False,
) -> None:
    """Write labelled rows as training shards, split so that no source video is on both sides.

    Examples:

      avcurate export runs/pem -o shards

      avcurate export runs/pem -o shards-jsonl --to jsonl --validation 0.1

      avcurate export runs/pem -o swift --to ms-swift
    """
    from avcurate.chains.export import export_run
    from avcurate.chains.export_swift import export_swift
    from avcurate.runner.rundir import RunDir

    if to == "ms-swift":
        with bar("media", 0, "questions") as progress:
            made = export_swift(
                RunDir(run),
                out,
                validation,
                min_confidence,
                seed,
                tick=lambda done, total: progress(done, total=total),
            )
    else:
        made = export_run(RunDir(run), out, to, validation, min_confidence, seed)
    if json_out:
        print_json(made)
    else:
        for split, n in made["rows"].items():
            typer.echo(f"{split}: {n:,} rows")
        typer.echo(f"Shards: {out}")
