"""The log of a training: a line per step, written as it goes, and its summary."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.train import processes
from avcurate.train.checkpoints import seal_checkpoint
from avcurate.train.media import Rows, read_dead
from avcurate.train.recipe import TrainRecipe

METRICS = "metrics.jsonl"
DEAD = "dead.jsonl"

Tick = Callable[[int, int, dict[str, float]], None]


def log_callback(out: Path, recipe: TrainRecipe, rows: Rows, tick: Tick) -> Any:
    """The Trainer's callback that writes the log, seals checkpoints, and stops where a loss is no number."""
    file, steps = out / METRICS, recipe.steps
    from transformers import TrainerCallback

    class Log(TrainerCallback):  # type: ignore[misc]
        """Writes one line per step; lines after a resumed checkpoint are replaced."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Drop lines of steps that will be repeated."""
            if not processes.is_first():
                return
            kept = [line for line in read_metrics(file) if line["step"] <= state.global_step]
            file.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Seal the checkpoint that the Trainer has written; each process writes a part of it."""
            processes.wait()
            if processes.is_first():
                seal_checkpoint(out, state.global_step)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            """Write one line."""
            values = {k: v for k, v in (logs or {}).items() if isinstance(v, (int, float))}
            # before the Trainer saves: training would resume from a checkpoint with such weights
            not_finite = [k for k in ("loss", "grad_norm") if not math.isfinite(values.get(k, 0.0))]
            if not_finite:
                raise UserError(
                    f"{not_finite[0]} is {values[not_finite[0]]} at step {state.global_step}, after the questions "
                    f"{', '.join(rows.lately(recipe.prompts))}.",
                    "Lower learning_rate, or leave those questions out of the shards; the same command resumes from "
                    "the last checkpoint before this step.",
                )
            # the Trainer's final summary is not a step
            if not values or "train_runtime" in values or not processes.is_first():
                return
            with file.open("a", encoding="utf-8") as f:
                f.write(json.dumps({"step": state.global_step, **values}) + "\n")
            tick(state.global_step, steps, values)

    return Log()


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """Lines of the log; a line truncated by a crash is skipped."""
    lines = []
    for line in file.read_text("utf-8").splitlines() if file.is_file() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def summarise_training(out: Path) -> dict[str, Any]:
    """Means of every logged value over the first and the last tenth of steps."""
    lines = read_metrics(out / METRICS)
    names = sorted({k for line in lines for k in line} - {"step", "epoch"})
    tenth = max(1, len(lines) // 10)

    def mean(part: list[dict[str, Any]], name: str) -> float | None:
        values = [line[name] for line in part if line.get(name) is not None]
        return sum(values) / len(values) if values else None

    return {
        "out": str(out),
        "dead": len(read_dead(out / DEAD)),
        "steps": lines[-1]["step"] if lines else 0,
        "values": {n: {"first": mean(lines[:tenth], n), "last": mean(lines[-tenth:], n)} for n in names},
    }
