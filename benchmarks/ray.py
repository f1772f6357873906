"""Ray against a run on this machine: the same rows through an engine that sleeps, by one replica and by three.

Prints the time from the first request to the last answer as a ratio to the local run's (one replica: what Ray costs;
three: what it gives), and the share of three engines' slots in use.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avcurate.demo.build import draw_world
from avcurate.demo.clips import write_clip
from avcurate.engines.base import Engine, Failure, Perception, Reply, Request, Response, Source
from avcurate.runner.rundir import RunDir
from avcurate.tasks.base import Context
from avcurate.tasks.label_pem.task import LabelPem
from avcurate.tasks.run import load_recipe, run_task
from benchmarks.runner import CHOICES, Constant

ROWS, SLOTS, STEP_S = 900, 32, 0.01


class Slots(Engine):
    """Answers in steps of ten milliseconds at any load, 32 responses at a time, each as long as a draw says."""

    name = "slots"
    perceives = False

    def __init__(self, log: Path) -> None:
        self.log = log

    def identity(self) -> dict[str, Any]:
        """Its name."""
        return {"engine": self.name}

    def setup(self) -> None:
        """Nothing to load."""

    def perceive(self, request: Request) -> Perception:
        """Nothing."""
        return Perception(-1, -1, -1)

    def generate(self, source: Source) -> Iterator[Reply | Failure]:
        """Replies, and a line per step with its time and the slots in use."""
        flying: dict[str, Request] = {}
        left: dict[str, list[int]] = {}
        with self.log.open("a") as steps:
            while True:
                while sum(map(len, left.values())) < SLOTS and (request := source.take(wait=not flying)) is not None:
                    flying[request.key] = request
                    left[request.key] = [length(request.seed + i) for i in range(request.n)]
                if not flying:
                    return
                time.sleep(STEP_S)
                steps.write(f"{time.time()} {min(SLOTS, sum(map(len, left.values())))}\n")
                steps.flush()
                for key in list(flying):
                    left[key] = [steps_left - 1 for steps_left in left[key] if steps_left > 1]
                    if not left[key]:
                        request = flying.pop(key)
                        del left[key]
                        text = "<think>So.</think><answer>red</answer>"
                        given = tuple(Response(request.seed + i, text, "stop", 8) for i in range(request.n))
                        yield Reply(request.key, given, -1, -1, -1)


def length(seed: int) -> int:
    """Steps that a response takes: thirty on average, with a long tail."""
    return min(200, int(random.Random(seed).expovariate(1 / 30)) + 1)


def one(folder: Path, name: str, **settings: Any) -> tuple[float, float, list[Any]]:
    """Seconds from the first to the last step, mean slots in use over that time, and the rows."""
    log = folder / f"{name}.steps"
    changes = {"input.annotations": str(folder / "q.jsonl"), "input.media": str(folder), "run.part_size": 64}
    recipe = load_recipe(LabelPem, None, changes | settings)
    run_task(LabelPem, recipe, Context(folder / name, engine=Slots(log), embedder=Constant()))
    steps = [tuple(map(float, line.split())) for line in log.read_text().splitlines()]
    span = max(s[0] for s in steps) - min(s[0] for s in steps) + STEP_S
    rows = [r for t in RunDir(folder / name).parts("sample").rows() for r in t.to_pylist()]
    return span, sum(s[1] for s in steps) * STEP_S / span, rows


def main() -> None:
    """Print one line for each way."""
    import ray

    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    ray.init(num_cpus=4, log_to_driver=False, include_dashboard=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clip(draw_world(1, 0)[0].clip, folder / "clip.mp4")
        with (folder / "q.jsonl").open("w") as f:
            for i in range(rows):
                row = {"video_name": "clip", "question_text": f"Scene {i}?", "multi_choice": CHOICES, "answer": i % 4}
                f.write(json.dumps(row) + "\n")
        local, used, expected = one(folder, "local")
        print(json.dumps({"what": "local", "busy": round(used / SLOTS, 2)}), flush=True)
        for replicas in (1, 3):
            asked = {"run.executor": "ray", "run.ray.replicas": replicas, "run.ray.cpus": 1}
            span, used, found = one(folder, f"ray-{replicas}", **asked)
            assert found == expected, "rows differ from the local run's"
            shown = {"what": f"ray, {replicas} replicas", "local_over_ray": round(local / span, 2)}
            print(json.dumps(shown | {"busy": round(used / (SLOTS * replicas), 2)}), flush=True)


if __name__ == "__main__":
    main()
