"""``label-pem`` and the commands that share its arguments: ``ingest``, ``plan``, ``retry``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avcurate.cli.console import StageBars, print_json

if TYPE_CHECKING:
    from avcurate.chains.label_pem import Job

Annotations = Annotated[
    Path,
    typer.Argument(
        help="Annotation file (.json, .jsonl, .csv, .tsv, .parquet), dataset folder, or hf:owner/name@split."
    ),
]
Media = Annotated[Path, typer.Option("--media", help="Folder of the clips.")]
Run = Annotated[Path, typer.Option("--out", "-o", help="Run directory; an existing one is resumed.")]
RecipeName = Annotated[str, typer.Option("--recipe", "-r", help="Recipe name or .yaml file; see `avcurate recipe ls`.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="`embedded`, a model name or folder, or a script.")]
EngineName = Annotated[str | None, typer.Option("--engine", "-e", help="transformers, vllm, server or scripted.")]
Url = Annotated[list[str] | None, typer.Option("--url", help="Server, e.g. http://127.0.0.1:8000/v1; repeatable.")]
EmbedderName = Annotated[
    str | None, typer.Option("--embedder", help="`embedded`, a model name, or http://host/v1#model.")
]
PromptName = Annotated[str | None, typer.Option("--prompt", help="Prompt; see `avcurate prompt show`.")]
N = Annotated[int | None, typer.Option("--n", help="Responses per setting.", min=1)]
Seed = Annotated[int | None, typer.Option("--seed", help="Run seed.")]
TauAcc = Annotated[float | None, typer.Option("--tau-acc", help="Least correctness rate of a solved setting.")]
TauCot = Annotated[float | None, typer.Option("--tau-cot", help="Least CoT consistency of a solved setting.")]
Temperature = Annotated[float | None, typer.Option("--temperature", help="Sampling temperature.")]
Exhaustive = Annotated[bool, typer.Option("--exhaustive", help="Ask every setting in full; same labels, more tokens.")]
Zero = Annotated[bool, typer.Option("--zero", help="Ablate by silence and black frames instead of leaving out.")]
Interleaved = Annotated[bool, typer.Option("--interleaved", help="Send audio inside the video item, time-aligned.")]
FormatName = Annotated[str, typer.Option("--format", help="auto, table, avqa, music-avqa, valor32k-avqa, avhbench, …")]
Map = Annotated[list[str] | None, typer.Option("--map", help="FIELD=COLUMN for any table; repeatable.")]
Pattern = Annotated[
    str | None, typer.Option("--media-pattern", help="How a name becomes a file, e.g. '{name}_video.mp4'.")
]
Only = Annotated[list[str] | None, typer.Option("--only", help="Only this question id; repeatable.")]
Limit = Annotated[int, typer.Option("--limit", help="Only the first records; 0 for all.", min=0)]
PartSize = Annotated[int, typer.Option("--part-size", help="Questions per Parquet part.", min=1)]
Workers = Annotated[int, typer.Option("--decode-workers", help="Clips decoded at the same time.", min=1)]
Force = Annotated[bool, typer.Option("--force", help="Do again what was made with another recipe, input or model.")]
RetryDead = Annotated[bool, typer.Option("--retry-dead", help="Ask clips again that died before.")]
FailOnDead = Annotated[
    float | None, typer.Option("--fail-on-dead", help="Stop when this share of rows died.", min=0, max=1)
]
Executor = Annotated[str, typer.Option("--executor", help="local or ray.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def mapping_of(pairs: list[str] | None) -> dict[str, str]:
    """Columns by field from FIELD=COLUMN words."""
    mapping = {}
    for pair in pairs or []:
        name, equals, column = pair.partition("=")
        if not equals or not name or not column:
            raise typer.BadParameter(f"{pair!r} is not FIELD=COLUMN, e.g. --map question=Question")
        mapping[name] = column
    return mapping


def label_pem(
    annotations: Annotations,
    media: Media,
    out: Run,
    recipe: RecipeName = "label-pem",
    model: Model = None,
    engine: EngineName = None,
    url: Url = None,
    embedder: EmbedderName = None,
    prompt: PromptName = None,
    n: N = None,
    seed: Seed = None,
    temperature: Temperature = None,
    tau_acc: TauAcc = None,
    tau_cot: TauCot = None,
    exhaustive: Exhaustive = False,
    zero: Zero = False,
    interleaved: Interleaved = False,
    format_name: FormatName = "auto",
    mapping: Map = None,
    media_pattern: Pattern = None,
    only: Only = None,
    limit: Limit = 0,
    part_size: PartSize = 256,
    decode_workers: Workers = 2,
    executor: Executor = "local",
    force: Force = False,
    fail_on_dead: FailOnDead = None,
    json_out: Json = False,
) -> None:
    """Label each question's Preferred Evidence Modality: Audio, Visual or Audio-Visual.

    Shows a model the same question under audio only, video only and both, samples n answers each,
    and decides from correctness and consistency which settings solve it. Run the same command again
    to go on after an interruption.

    Examples:

      avcurate label-pem val_qa.json --media clips -o runs/pem

      avcurate label-pem val_qa.json --media clips -o runs/pem -r label-pem-qwen3-omni

      avcurate label-pem val_qa.json --media clips -o runs/pem -r label-pem-server --url http://gpu1:8000/v1

      avcurate label-pem mine.csv --map media=file --map question=q --map answer=gold --media clips -o runs/mine
    """
    from avcurate.chains.label_pem import Job
    from avcurate.recipe import load_recipe

    overrides: dict[str, Any] = {
        "model.model": model,
        "model.engine": engine,
        "model.urls": url or None,
        "embedder.model": embedder,
        "prompt": prompt,
        "n": n,
        "seed": seed,
        "sampling.temperature": temperature,
        "tau_acc": tau_acc,
        "embedder.tau_cot": tau_cot,
        "early_exit": False if exhaustive else None,
        "ablation": "zero" if zero else None,
        "layout": "interleaved" if interleaved else None,
    }
    job = Job(
        annotations=annotations,
        media=media,
        run=out,
        recipe=load_recipe(recipe, overrides),
        format_name=format_name,
        mapping=mapping_of(mapping),
        media_pattern=media_pattern,
        only=frozenset(only or ()),
        limit=limit,
        part_size=part_size,
        decode_workers=decode_workers,
        force=force,
        fail_on_dead=fail_on_dead,
        executor=executor,
    )
    _run(job, json_out)


def _run(job: Job, json_out: bool) -> None:
    from avcurate.chains.label_pem import run_job
    from avcurate.report.html import write_report
    from avcurate.report.summary import summarise
    from avcurate.report.terminal import print_summary
    from avcurate.runner.rundir import RunDir

    with StageBars(job.recipe.n, job.recipe.tau_acc) as bars:
        run_job(job, bars.begin)
    run = RunDir(job.run)
    page = write_report(run)
    summary = summarise(run)
    if json_out:
        print_json(summary | {"report": str(page)})
    else:
        print_summary(summary, page)


def ingest(
    annotations: Annotations,
    media: Media,
    out: Run,
    format_name: FormatName = "auto",
    mapping: Map = None,
    media_pattern: Pattern = None,
    limit: Limit = 0,
    part_size: PartSize = 256,
    json_out: Json = False,
) -> None:
    """Read an annotation file into question rows, without asking any model.

    Example: avcurate ingest val_qa.json --media clips -o runs/pem
    """
    from avcurate.chains.label_pem import Job, ingest_only
    from avcurate.recipe import load_recipe
    from avcurate.report.terminal import print_funnel

    job = Job(
        annotations,
        media,
        out,
        load_recipe("label-pem"),
        format_name,
        mapping_of(mapping),
        media_pattern,
        limit=limit,
        part_size=part_size,
    )
    tally = ingest_only(job)
    counts = {"in": tally.total, "kept": tally.kept, "filtered": tally.filtered, "dead": tally.dead}
    if json_out:
        print_json({"ingest": counts})
    else:
        print_funnel({"ingest": counts})


def plan(
    annotations: Annotations,
    media: Media,
    recipe: RecipeName = "label-pem",
    format_name: FormatName = "auto",
    mapping: Map = None,
    media_pattern: Pattern = None,
    limit: Limit = 0,
    n: N = None,
    probe: Annotated[int, typer.Option("--probe", help="Clips to look at.", min=1)] = 64,
    json_out: Json = False,
) -> None:
    """Tell clips, seconds, tokens, responses and disk of a run before any weight is loaded.

    Example: avcurate plan val_qa.json --media clips
    """
    from avcurate.chains.plan import make_plan
    from avcurate.recipe import load_recipe
    from avcurate.report.terminal import print_plan

    made = make_plan(
        annotations,
        media,
        load_recipe(recipe, {"n": n}),
        format_name,
        mapping_of(mapping),
        media_pattern,
        limit,
        probe,
    )
    print_json(made) if json_out else print_plan(made)


def retry(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Only rows dead for this reason; repeatable.")
    ] = None,
    decode_workers: Workers = 2,
    json_out: Json = False,
) -> None:
    """Ask dead rows again, all or those of some reasons; living rows are left as they are.

    Example: avcurate retry runs/pem --reason media_timeout
    """
    from avcurate.chains.label_pem import job_of_run

    _run(job_of_run(run, frozenset(reason or ()), decode_workers), json_out)
