"""``train``: shards in, a trained model out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.runner.job import How, Job
from avcurate.runner.rundir import RunDir
from avcurate.runner.tally import Begin, Tally
from avcurate.tasks.base import Context, Task
from avcurate.train.recipe import TrainRecipe

if TYPE_CHECKING:
    from rich.console import Console


class Train(Task[TrainRecipe]):
    """Train a Qwen-Omni thinker on curated shards: GRPO or MAPO with PEM rewards, or SFT as the baseline.

    Rollouts and loss both see audio and video. Run the same command again to resume from the last checkpoint.
    Writes OUT/metrics.jsonl, OUT/report.html and OUT/model, a complete checkpoint that transformers and vLLM load.
    Needs the extra `train`, in an environment without vLLM.

    Example: avcurate train shards -m Qwen/Qwen2.5-Omni-7B -r train-sffl-stage-1 -o runs/stage-1
    """

    name = "train"
    recipe = TrainRecipe
    default = "train-sffl-stage-1"

    def plan(self, recipe: TrainRecipe, context: Context) -> Job:
        """Not supported: training is not a sequence of stages over rows."""
        raise TypeError("training has no job; use Train.run")

    def run(self, recipe: TrainRecipe, context: Context, how: How, begin: Begin) -> dict[str, Tally]:
        """Train, or resume from the last checkpoint."""
        from avcurate.tasks.train.training import run_training

        watch, tally = begin("train"), Tally()

        def tick(step: int, total: int, values: dict[str, float]) -> None:
            tally.done, tally.total = step, total
            watch(tally, None, {"reward": values.get("reward/total", 0.0)})

        run_training(recipe, context.out, tick, how)
        tally.kept = tally.done
        return {"train": tally}

    def speaks(self) -> bool:
        """The first process does."""
        from avcurate.train import processes

        return processes.is_first()

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Means of every logged value over the first and the last tenth of steps."""
        from avcurate.tasks.train.log import summarise_training

        return summarise_training(run.root) | {"run": str(run.root), "model": str(run.root / "model")}

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print each value, first and last."""
        for name, value in summary["values"].items():
            if value["first"] is not None and value["last"] is not None:
                console.print(f"{name:<28} {value['first']:>10.4f} → {value['last']:.4f}")
        console.print(f"Model: {summary['model']}")

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """One curve per logged value."""
        from avcurate.tasks.train.log import METRICS, read_metrics
        from avcurate.tasks.train.page import write_training_page

        recipe = run.record()["recipe"]
        about = {
            "recipe": recipe["name"],
            "algorithm": recipe["algo"],
            "model": recipe["model"],
            "seed": recipe["seed"],
        }
        return write_training_page(run.root, read_metrics(run.root / METRICS), about)
