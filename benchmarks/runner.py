"""The cost of the runner itself: label-pem on scripted answers, 1,000 against 50,000 questions.

The embedder is replaced, so that nothing but the runner is measured. Each size runs in a process of its
own, whose peak memory is read when it ends.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from avcurate.demo.build import draw_world
from avcurate.demo.clips import write_clip
from avcurate.engines.embedder import Embedder
from avcurate.recipe import TaskRecipe
from avcurate.runner.rundir import RunDir
from avcurate.tasks.base import Context
from avcurate.tasks.label_pem.ingest import ingest_only
from avcurate.tasks.label_pem.task import LabelPem
from avcurate.tasks.run import load_recipe, run_task

SIZES = (1_000, 50_000)
CHOICES = ["red", "green", "blue", "yellow"]


class Constant(Embedder):
    """One vector for every text."""

    name = "constant"

    def identity(self) -> dict[str, Any]:
        """Its name."""
        return {"embedder": self.name}

    def setup(self) -> None:
        """Nothing to load."""

    def embed(self, texts: list[str]) -> np.ndarray:
        """(N, 8) ones."""
        return np.ones((len(texts), 8), np.float32)


def recipe_of(folder: Path) -> TaskRecipe:
    """label-pem on the script."""
    changes = {"input.annotations": str(folder / "questions.jsonl"), "input.media": str(folder)}
    changes |= {"model.engine": "scripted", "model.model": str(folder / "script.jsonl")}
    return load_recipe(LabelPem, "label-pem", changes)


def write_inputs(folder: Path, size: int) -> None:
    """Questions on one clip, and eight stored answers per question and setting."""
    clip = draw_world(1, 0)[0].clip
    write_clip(clip, folder / "clip.mp4")
    with (folder / "questions.jsonl").open("w") as f:
        for i in range(size):
            row = {"video_name": "clip", "question_text": f"Scene {i}?", "multi_choice": CHOICES, "answer": i % 4}
            f.write(json.dumps(row) + "\n")
    ingest_only(recipe_of(folder), folder / "run")  # type: ignore[arg-type]
    with (folder / "script.jsonl").open("w") as f:
        for table in RunDir(folder / "run").parts("questions").rows():
            for row in table.to_pylist():
                for setting in ("a", "v", "av"):
                    texts = [f"<think>I see {row['answer']}.</think><answer>{row['answer']}</answer>"] * 8
                    entry = {"question_id": row["question_id"], "setting": setting, "responses": texts}
                    f.write(json.dumps(entry) + "\n")


def child(folder: Path, size: int) -> None:
    """One measured run, in this process."""
    context = Context(folder / "run", embedder=Constant())
    start = time.perf_counter()
    tallies = run_task(LabelPem, recipe_of(folder), context)
    spent = time.perf_counter() - start
    start = time.perf_counter()
    run_task(LabelPem, recipe_of(folder), context)
    again = time.perf_counter() - start
    assert tallies["label"].kept == size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    disk = sum(f.stat().st_size for f in (folder / "run").rglob("*.parquet")) / 2**20
    shown = {"questions": size, "ms_per_question": round(1000 * spent / size, 3), "peak_mib": round(peak)}
    print(json.dumps(shown | {"resume_s": round(again, 2), "parquet_mib": round(disk, 1)}))


def main() -> None:
    """Print both sizes, and the ratio of their peaks."""
    peaks = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            write_inputs(Path(scratch), size)
            command = [sys.executable, "-m", "benchmarks.runner", scratch, str(size)]
            line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]
        print(line, flush=True)
        peaks.append(json.loads(line)["peak_mib"])
    print(json.dumps({"what": "peak memory: 50,000 / 1,000 questions", "ratio": round(peaks[1] / peaks[0], 3)}))


if __name__ == "__main__":
    child(Path(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else main()
