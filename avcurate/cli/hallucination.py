"""``hallucination``: what captions invent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avcurate.cli.console import StageBars, print_json
from avcurate.cli.label import Force, Json, Run, Url, mapping_of


def hallucination(
    captions: Annotated[Path, typer.Argument(help="Table (.jsonl, .json, .csv, .parquet) with clip and caption.")],
    out: Run,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Table with clip, and objects or references; else in the captions.")
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="FIELD=COLUMN for clip, caption, objects, references, flag; repeatable."),
    ] = None,
    with_aloha: Annotated[bool, typer.Option("--aloha", help="Also match objects by meaning (ALOHa).")] = False,
    embedder: Annotated[
        str, typer.Option("--embedder", help="For --aloha: `embedded`, a model name, or http://host/v1#model.")
    ] = "embedded",
    extractor: Annotated[
        str | None,
        typer.Option("--extractor", help="Model that lists the objects for ALOHa; without one the vocabulary does."),
    ] = None,
    engine: Annotated[str, typer.Option("--engine", "-e", help="How --extractor is run.")] = "transformers",
    url: Url = None,
    as_released: Annotated[
        bool, typer.Option("--aloha-as-released", help="Surplus objects cost nothing, as in ALOHa's released code.")
    ] = False,
    force: Force = False,
    json_out: Json = False,
) -> None:
    """Measure what captions invent: CHAIR-i, CHAIR-s, precision, recall, F1, and ALOHa.

    Objects are names of classes, of detections or plain words; references are captions whose objects count as there.
    Writes a page that marks every invented word.

    Examples:

      avcurate hallucination captions.jsonl --truth objects.jsonl --aloha -o runs/captions

      avcurate hallucination captions.jsonl --truth objects.jsonl --extractor Qwen/Qwen3-32B -e server
      --url http://127.0.0.1:8000/v1 -o runs/captions
    """
    from avcurate.chains.hallucination import HallucinationJob, run_hallucination, summarise_hallucination
    from avcurate.recipe import parse_model
    from avcurate.report.captions import write_captions_page
    from avcurate.runner.rundir import RunDir

    with StageBars(1, 1.0) as bars:
        wanted = embedder if with_aloha or as_released or extractor else None
        lister = None
        if extractor is not None:
            lister = parse_model({"engine": engine, "model": extractor, "urls": url or ()})
        job = HallucinationJob(captions, out, truth, mapping_of(mapping), wanted, lister, as_released, force)
        run_hallucination(job, bars.begin)
    found = summarise_hallucination(RunDir(out))
    found["stages"] = {k: v for k, v in RunDir(out).record()["stages"].items() if "in" in v}
    found["report"] = str(write_captions_page(RunDir(out), found))
    print_json(found) if json_out else _show(found)


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    from avcurate.report.terminal import console, print_funnel

    print_funnel(found["stages"])
    table = Table("measure", "value", "95 %", title=f"{found['captions']:,} captions", title_justify="left")
    for name, m in found["measures"].items():
        low, high = m["interval"]
        known = m["value"] is not None and low is not None
        shown = (f"{m['value']:.3f}", f"{low:.3f} to {high:.3f}") if known else ("-", "nothing to divide by")
        table.add_row(name.replace("_", "-"), *shown)
    if found["aloha"]["mean"] is not None:
        table.add_row("aloha", f"{found['aloha']['mean']:.3f}", f"over {found['aloha']['captions']:,} captions")
    out = console()
    out.print(table)
    if "told_apart" in found:
        told = found["told_apart"]
        of = {k: "-" if v is None else f"{v:.1%}" for k, v in told["chair"].items()}
        out.print(
            f"Flagged in the input: {told['hallucinated']:,} of {told['captions']:,}. An object is found invented in "
            f"{of['flagged_of_hallucinated']} of those, and in {of['flagged_of_faithful']} of the others."
        )
        if "aloha_auc" in told:
            out.print(f"ALOHa is lower for a flagged caption than for another in {told['aloha_auc']:.1%} of pairs.")
    out.print(f"Report: {found['report']}")
