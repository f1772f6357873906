"""``train``: GRPO and MAPO on exported shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
    algo: Annotated[Literal["grpo", "mapo"] | None, typer.Option("--algo", help="Instead of the recipe's.")] = None,
    media: Annotated[
        Path | None, typer.Option("--media", help="Folder of the clips; by default the one the shards name.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps.", min=1)] = None,
    lora: Annotated[int | None, typer.Option("--lora", help="Rank of LoRA; 0 trains all weights.", min=0)] = None,
    seed: Seed = None,
    report_to: Annotated[
        list[str] | None, typer.Option("--report-to", help="trackio, tensorboard or wandb; repeatable.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Train a Qwen-Omni thinker on curated shards with GRPO or MAPO and PEM rewards.

    Audio and video reach the rollouts and the loss. Run the same command again to go on from the last checkpoint.
    Writes OUT/metrics.jsonl, OUT/report.html and OUT/model, a folder that every engine loads. Needs the extra `train`,
    apart from vLLM.

    Example: avcurate train shards -m Qwen/Qwen2.5-Omni-7B -r train-sffl-stage-1 -o runs/stage-1
    """
    from avcurate.chains.training import TrainJob, read_metrics, run_training, summarise_training
    from avcurate.recipe import load_train
    from avcurate.report.training import write_training_page

    overrides = {"algo": algo, "steps": steps, "lora_rank": lora, "seed": seed}
    chosen = load_train(recipe, overrides)
    job = TrainJob(shards, out, chosen, model, media=media, report_to=tuple(report_to or ()))
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
    typer.echo(f"Model: {folder}  Report: {page}")
