"""``train``: GRPO and MAPO on exported shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from avcurate.cli.console import bar, print_json
from avcurate.cli.label import Json, Seed


def train(
    shards: Annotated[Path, typer.Argument(help="Folder of `avcurate export`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the training; an existing one goes on.")],
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="Recipe name or .yaml file; see `avcurate recipe ls`.")
    ] = "train-sffl-stage-1",
    model: Annotated[str, typer.Option("--model", "-m", help="`embedded`, or a model folder or name.")] = "embedded",
    algo: Annotated[
        Literal["grpo", "mapo", "sft"] | None, typer.Option("--algo", help="Instead of the recipe's.")
    ] = None,
    stage: Annotated[
        Literal["1", "2"] | None,
        typer.Option("--stage", help="SFFL's reward and prompt: 1 is PEM and structure, 2 adds answers."),
    ] = None,
    maam: Annotated[
        bool | None,
        typer.Option("--maam/--no-maam", help="Modality-asymmetric attention mask, in rollouts and losses."),
    ] = None,
    media: Annotated[
        Path | None, typer.Option("--media", help="Folder of the clips; by default the one the shards name.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps.", min=1)] = None,
    lora: Annotated[int | None, typer.Option("--lora", help="Rank of LoRA; 0 trains all weights.", min=0)] = None,
    seed: Seed = None,
    report_to: Annotated[
        list[str] | None, typer.Option("--report-to", help="trackio, tensorboard or wandb; repeatable.")
    ] = None,
    rollout_url: Annotated[
        str | None,
        typer.Option("--rollout-url", help="vLLM server that samples rollouts; it is given the weights each step."),
    ] = None,
    judge_url: Annotated[
        str | None, typer.Option("--judge-url", help="OpenAI-compatible server that tells consistency.")
    ] = None,
    judge_model: Annotated[
        str, typer.Option("--judge-model", help="The judge, by the name that its server has for it.")
    ] = "Qwen/Qwen3-30B-A3B-Instruct-2507",
    json_out: Json = False,
) -> None:
    """Train a Qwen-Omni thinker on curated shards: GRPO or MAPO with PEM rewards, or SFT as the baseline.

    Audio and video reach the rollouts and the loss. Run the same command again to go on from the last checkpoint.
    Writes OUT/metrics.jsonl, OUT/report.html and OUT/model, a folder that every engine loads. Needs the extra `train`,
    apart from vLLM.

    Example: avcurate train shards -m Qwen/Qwen2.5-Omni-7B -r train-sffl-stage-1 -o runs/stage-1
    """
    from avcurate.chains.training import TrainJob, read_metrics, run_training, summarise_training
    from avcurate.recipe import load_train, parse_model
    from avcurate.report.training import write_training_page
    from avcurate.train.rewards import STAGE_1, STAGE_2

    overrides: dict[str, Any] = {"algo": algo, "steps": steps, "lora_rank": lora, "seed": seed, "maam": maam}
    if stage:
        weights = {"1": STAGE_1, "2": STAGE_2}[stage]
        overrides |= {"accuracy_weight": weights.accuracy, "preference_weight": weights.preference}
        overrides |= {"format_weight": 0.0, "consistency_weight": 0.0, "prompt": "separate-then-fuse@1"}
    chosen = load_train(recipe, overrides)
    judge = parse_model({"engine": "server", "model": judge_model, "urls": [judge_url]}) if judge_url else None
    job = TrainJob(
        shards,
        out,
        chosen,
        model,
        media=media,
        report_to=tuple(report_to or ()),
        judge=judge,
        rollout_url=rollout_url,
    )
    with bar("train", chosen.steps, "steps") as set_done:

        def tick(step: int, total: int, values: dict[str, float]) -> None:
            set_done(step, total, f"reward {values.get('reward/total', 0.0):.3f}")

        folder = run_training(job, tick)
    about = {"recipe": chosen.name, "algorithm": chosen.algo, "model": model, "seed": chosen.seed}
    page = write_training_page(out, read_metrics(out / "metrics.jsonl"), about)
    summary = summarise_training(out)
    if json_out:
        print_json(summary | {"model": str(folder), "report": str(page)})
        return
    for name, value in summary["values"].items():
        if value["first"] is not None and value["last"] is not None:
            typer.echo(f"{name:<28} {value['first']:>10.4f} → {value['last']:.4f}")
    if summary["dead"]:
        typer.echo(
            f"{summary['dead']} questions were left out, their clips cannot be read: {out / 'dead.jsonl'}", err=True
        )
    typer.echo(f"Model: {folder}  Report: {page}")
