"""One optimiser step of GRPO, MAPO and MAPO under MAAM: rollouts, rewards, losses, on the same questions.

Needs the extra `train`. On CPU the embedded model shows what the parts cost relative to each other, not absolute
times; on a GPU give a checkpoint: python -m benchmarks.train_step --model Qwen/Qwen2.5-Omni-7B
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from avcurate.demo.build import Item, build_world
from avcurate.schema import SCHEMA_VERSION
from avcurate.tasks.run import load_recipe
from avcurate.tasks.train.task import Train
from avcurate.tasks.train.training import run_training
from avcurate.train.recipe import TrainRecipe

STEPS = 4
WAYS = {"grpo": {"algo": "grpo"}, "mapo": {"algo": "mapo"}, "mapo_maam": {"algo": "mapo", "maam": True}}


def shards(folder: Path, items: list[Item], clips: Path, model: str) -> Path:
    """Questions of a demo world with their true PEMs, as `avcurate export` writes them."""
    rows = [
        {
            "question_id": f"q{i.number}",
            "media": f"{i.clip.name}.mp4",
            "start": None,
            "end": None,
            "question": i.draft.text,
            "choices": list(i.draft.choices),
            "answer": i.draft.answer,
            "pem": i.truth()["pem"],
        }
        for i in items
        if i.truth()["pem"]
    ]
    (folder / "data").mkdir(parents=True)
    table = pa.Table.from_pylist(rows)
    for name in ("start", "end"):
        table = table.set_column(table.column_names.index(name), name, pa.nulls(len(rows), pa.float64()))
    pq.write_table(table, folder / "data/train-00000.parquet")
    facts = {
        "schema_version": SCHEMA_VERSION,
        "fps": 2.0,
        "sample_rate": 16_000,
        "processor": {"model": model, "revision": None},
        "media": str(clips),
        "rows": {"train": len(rows), "validation": 0},
        "split": {},
        "thresholds": {},
    }
    (folder / "shards.json").write_text(json.dumps(facts))
    return folder


def main() -> None:
    """Print seconds per step relative to GRPO's, and on a GPU its seconds and peak memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="embedded")
    model = parser.parse_args().model
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        items = build_world(root / "world", 60, seed=11, workers=2)
        shards_folder = shards(root / "shards", items, root / "world/clips", model)
        measured = {name: steps(shards_folder, root / name, model, over) for name, over in WAYS.items()}
    base = measured["grpo"]["seconds"]
    for name, costs in measured.items():
        shown = {"what": f"train step: {name} / grpo, time", "ratio": round(costs["seconds"] / base, 2)}
        print(json.dumps(shown | ({} if costs["peak_gb"] is None else costs)), flush=True)


def steps(shards_folder: Path, out: Path, model: str, over: dict[str, object]) -> dict[str, float | None]:
    """Median seconds of the steps after the first."""
    import torch

    at = []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    # a small learning rate: completions stay as long as they were, so that steps can be compared
    changes = {
        "steps": STEPS,
        "learning_rate": 1e-6,
        "save_every": 100,
        "model": model,
        "input.shards": str(shards_folder),
    }
    recipe = load_recipe(Train, "train-demo-stage-1", {**changes, **over})
    assert isinstance(recipe, TrainRecipe)
    run_training(recipe, out, lambda step, total, values: at.append(time.perf_counter()))
    taken = [b - a for a, b in itertools.pairwise(at[:STEPS])]
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
    return {"seconds": round(statistics.median(taken), 3), "peak_gb": peak}


if __name__ == "__main__":
    main()
