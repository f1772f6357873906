"""Commands around ``label-pem``: ``ingest``, ``plan``, ``label``, ``sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avcurate.cli.console import bar, print_json

Annotations = Annotated[Path, typer.Argument(help="Annotation file, dataset folder, or hf:owner/name@split.")]
Media = Annotated[Path, typer.Option("--media", help="Folder of the clips.")]
Recipe = Annotated[str, typer.Option("--recipe", "-r", help="Recipe name or .yaml file; see `avcurate recipe ls`.")]
FormatName = Annotated[str, typer.Option("--format", help="auto, table, avqa, music-avqa, valor32k-avqa, avhbench, …")]
Map = Annotated[list[str] | None, typer.Option("--map", help="FIELD=COLUMN for any table; repeatable.")]
Pattern = Annotated[
    str | None, typer.Option("--media-pattern", help="How a name maps to a file, e.g. '{name}_video.mp4'.")
]
Limit = Annotated[int, typer.Option("--limit", help="Read only the first records; 0 for all.", min=0)]
RunArg = Annotated[Path, typer.Argument(help="Run directory of label-pem.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def _recipe(name: str, changes: dict[str, Any]) -> Any:
    from avcurate.tasks.label_pem.task import LabelPem
    from avcurate.tasks.run import load_recipe

    return load_recipe(LabelPem, name, changes)


def _input(
    annotations: Path, media: Path, form: str, mapping: list[str] | None, pattern: str | None, limit: int
) -> dict[str, Any]:
    from avcurate.cli.commands import columns_of

    return {
        "input.annotations": str(annotations),
        "input.media": str(media),
        "input.format": form,
        "input.columns": columns_of(mapping or []),
        "input.media_pattern": pattern,
        "run.limit": limit,
    }


def ingest(
    annotations: Annotations,
    media: Media,
    out: Annotated[Path, typer.Option("--out", "-o", help="Run directory; `label-pem` resumes from it.")],
    recipe: Recipe = "label-pem",
    format_name: FormatName = "auto",
    mapping: Map = None,
    media_pattern: Pattern = None,
    limit: Limit = 0,
    part_size: Annotated[int, typer.Option("--part-size", help="Questions per Parquet part.", min=1)] = 256,
    json_out: Json = False,
) -> None:
    """Read an annotation file into question rows, without running a model.

    Example: avcurate ingest val_qa.json --media clips -o runs/pem
    """
    from avcurate.report.terminal import print_funnel
    from avcurate.tasks.label_pem.ingest import ingest_only

    changes = _input(annotations, media, format_name, mapping, media_pattern, limit)
    tally = ingest_only(_recipe(recipe, {**changes, "run.part_size": part_size}), out)
    counts = {"in": tally.total, "kept": tally.kept, "filtered": tally.filtered, "dead": tally.dead}
    print_json({"ingest": counts}) if json_out else print_funnel({"ingest": counts})


def plan(
    annotations: Annotations,
    media: Media,
    recipe: Recipe = "label-pem",
    format_name: FormatName = "auto",
    mapping: Map = None,
    media_pattern: Pattern = None,
    limit: Limit = 0,
    n: Annotated[int | None, typer.Option("--n", help="Responses per setting.", min=1)] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model that replaces the recipe's.")] = None,
    engine: Annotated[str | None, typer.Option("--engine", "-e", help="Engine that replaces the recipe's.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE for any field; repeatable.")] = None,
    rate: Annotated[
        float | None,
        typer.Option("--questions-per-hour", help="As `avcurate check` measured; adds the hours.", min=0.001),
    ] = None,
    probe: Annotated[int, typer.Option("--probe", help="Number of clips to probe.", min=1)] = 64,
    json_out: Json = False,
) -> None:
    """Estimate clips, seconds, tokens, responses and disk space of a run, and what does not fit; loads no weights.

    Example: avcurate plan val_qa.json --media clips -m Qwen/Qwen3-Omni-30B-A3B-Instruct -e vllm
    """
    from avcurate.recipe import settings_of
    from avcurate.tasks.label_pem.plan import make_plan
    from avcurate.tasks.label_pem.terminal import print_plan

    changes = _input(annotations, media, format_name, mapping, media_pattern, limit)
    changes |= {"n": n, "model.model": model, "model.engine": engine, **settings_of(settings)}
    estimate = make_plan(_recipe(recipe, changes), probe)
    if rate is not None:
        estimate["hours"] = round(estimate["questions"] / rate, 2)
    print_json(estimate) if json_out else print_plan(estimate)


def relabel(
    run: RunArg,
    tau_acc: Annotated[
        float | None, typer.Option("--tau-acc", help="Minimum correctness rate.", min=0.001, max=1)
    ] = None,
    tau_cot: Annotated[float | None, typer.Option("--tau-cot", help="Minimum consistency.", min=-1, max=1)] = None,
    min_confidence: Annotated[
        float | None, typer.Option("--min-confidence", help="Discard labels less sure than this.", min=0, max=1)
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option("--precision", help="Keep as many labels as repeat this often, by confidence.", min=0.01, max=1),
    ] = None,
    json_out: Json = False,
) -> None:
    """Relabel a run with other thresholds, from stored responses, and print what changed.

    No model is loaded. Rows whose stored responses cannot decide a looser threshold are counted as
    undecided; `avcurate label-pem` with that threshold samples only those. With --precision the least sure labels
    are discarded until those left are expected to repeat so often, and how many are left is printed; `avcurate retest`
    checks it.

    Examples:

      avcurate label runs/pem --tau-acc 0.875 --tau-cot 0.75

      avcurate label runs/pem --precision 0.95
    """
    from avcurate.errors import UserError
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks.label_pem.relabel import relabel_run
    from avcurate.tasks.label_pem.task import LabelPem
    from avcurate.tasks.label_pem.terminal import print_relabel

    if min_confidence is not None and precision is not None:
        raise UserError("--min-confidence and --precision exclude each other.", "Give one of them.")
    chosen = {"min_confidence": min_confidence, "precision": precision}
    with bar("label", 0, "rows") as progress:
        change = relabel_run(RunDir(run), tau_acc, tau_cot, lambda t, o, r: progress(t.done), **chosen)
    task = LabelPem()
    task.page(RunDir(run), task.summarise(RunDir(run)))
    print_json(change) if json_out else print_relabel(change)


def sweep(
    run: RunArg,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="truth.jsonl of a demo world: adds precision and recall.")
    ] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Also propose a tau_cot from this run's own consistencies.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Print labels over a grid of tau_acc × tau_cot, from stored responses.

    Examples:

      avcurate sweep runs/demo --truth demo-world/truth.jsonl

      avcurate sweep runs/pilot --propose
    """
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks.label_pem.relabel import propose_tau_cot, sweep_run
    from avcurate.tasks.label_pem.terminal import print_sweep

    rows = sweep_run(RunDir(run), truth)
    proposal = propose_tau_cot(RunDir(run)) if propose else None
    if json_out:
        print_json(rows if proposal is None else {"sweep": rows, "tau_cot": vars(proposal)})
        return
    print_sweep(rows)
    if proposal is not None:
        typer.echo(f"tau_cot: {proposal.about}")


def retest(
    run: RunArg,
    share: Annotated[
        float, typer.Option("--share", help="Share of the labels asked again; at least 50.", min=0, max=1)
    ] = 0.05,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Run seed of the second sample; by default the run's + 1.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run directory of the second sample; by default RUN-retest.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="An existing second run of the same data: nothing is sampled.")
    ] = None,
    media: Annotated[Path | None, typer.Option("--media", help="Folder of the clips, if they have moved.")] = None,
    json_out: Json = False,
) -> None:
    """Ask some labelled questions again with other seeds, and compare stated confidence with what repeats.

    Prints the reliability curve, Brier score and what labels became; the run's report shows the curve. The second
    sample is a run of its own: interrupted, the same command resumes it.

    Examples:

      avcurate retest runs/pem --share 0.05

      avcurate retest runs/pem --against runs/pem-seed-1
    """
    from avcurate.cli.console import StageBars
    from avcurate.errors import UserError
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks.base import Context
    from avcurate.tasks.label_pem.retest import chosen, compare, keep, print_retest
    from avcurate.tasks.label_pem.task import LabelPem
    from avcurate.tasks.run import recorded_recipe, run_task

    first = RunDir(run)
    record = first.require("label", made_by="label-pem")
    again = RunDir(against or out or run.with_name(f"{run.resolve().name}-retest"))
    if against is None:
        changes: dict[str, Any] = {
            "run.only": chosen(first, share, seed or 0),
            "run.limit": 0,
            "seed": record["recipe"]["seed"] + 1 if seed is None else seed,
            "min_confidence": 0.0,
            "input.media": str(media) if media else None,
        }
        if changes["seed"] == record["recipe"]["seed"]:
            raise UserError(f"seed {seed} is the run's own: it would repeat by design.", "Give another --seed.")
        with StageBars() as bars:
            run_task(LabelPem, recorded_recipe(first, changes), Context(again.root), begin=bars.begin)
    result = compare(first, again)
    keep(first, result)
    task = LabelPem()
    task.page(first, task.summarise(first))
    print_json(result) if json_out else print_retest(result)
