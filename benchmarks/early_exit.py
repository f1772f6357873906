"""Early exit against exhaustive sampling, and against waves, on one engine: ``transformers``, ``vllm`` or ``server``.

The sampling stage of ``label-pem`` over the same questions of a demo world, the engine loaded once, turns alternating.
Prints the ratio of times, and of responses and response tokens asked.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from avcurate.demo.build import build_world
from avcurate.engines.base import Engine
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Kept, NoLog
from avcurate.scheduler.question import EarlyExit
from avcurate.scheduler.waves import measure_waves
from avcurate.schema import Setting
from avcurate.tasks.label_pem.ingest import ingest_only
from avcurate.tasks.label_pem.recipe import LabelPemRecipe
from avcurate.tasks.label_pem.task import LabelPem
from avcurate.tasks.run import load_recipe
from avcurate.tasks.sampling import SampleStage
from benchmarks.engines import opened
from benchmarks.harness import seconds

QUESTIONS, TURNS, TAU = 48, 5, 0.75


def questions_in(folder: Path, engine: str) -> tuple[LabelPemRecipe, list[dict[str, Any]]]:
    """A recipe of ``label-pem`` on a demo world made in the folder, and the world's questions, ingested."""
    world = folder / "world"
    build_world(world, QUESTIONS, seed=33, workers=2)
    inputs = {"input.annotations": str(world / "questions.json"), "input.media": str(world / "clips")}
    recipe = load_recipe(LabelPem, None, {**inputs, "model.engine": engine})
    assert isinstance(recipe, LabelPemRecipe)
    ingest_only(recipe, folder / "run")
    return recipe, [r for t in RunDir(folder / "run").parts("questions").rows() for r in t.to_pylist()]


def turn(engine: Engine, recipe: LabelPemRecipe, rows: list[dict[str, Any]], way: EarlyExit | None) -> tuple[int, int]:
    """Responses and response tokens of one pass over the rows."""
    assert recipe.input.media is not None
    stage = SampleStage(engine, recipe.spec(), recipe.input.media, 2, way)
    responses = tokens = 0
    for _, outcome in stage.process(iter(rows), NoLog()):
        assert isinstance(outcome, Kept)
        given = [r for s in Setting for r in outcome.added[f"{s}_responses"]]
        responses, tokens = responses + len(given), tokens + sum(r["tokens"] for r in given)
    return responses, tokens


def main() -> None:
    """Print one line for each way."""
    name = sys.argv[1] if len(sys.argv) > 1 else "transformers"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        recipe, rows = questions_in(Path(folder), name)
        engine = opened(name, Path(folder), stack)
        ways = {"exhaustive": None, "by setting": EarlyExit(TAU, False), "in waves": EarlyExit(TAU, True)}
        counts = {k: turn(engine, recipe, rows, w) for k, w in ways.items()}
        times: dict[str, list[float]] = {k: [] for k in ways}
        for _ in range(TURNS):
            for key, way in ways.items():
                times[key].append(seconds(lambda way=way: turn(engine, recipe, rows, way)))
        base = statistics.median(times["exhaustive"])
        waves = engine.keeps_prompts
        if engine.far:
            measured = measure_waves(engine, recipe.spec())
            print(json.dumps({"what": "measured before the first question", **measured}), flush=True)
            waves = measured["waves"]
        for key in ("by setting", "in waves"):
            asked, tokens = (a / b for a, b in zip(counts[key], counts["exhaustive"], strict=True))
            ratios = {"time": statistics.median(times[key]) / base, "responses": asked, "tokens": tokens}
            used = (key == "in waves") == waves
            what = f"early exit {key} / exhaustive, {name}{', the default' if used else ''}"
            print(json.dumps({"what": what, **{k: round(v, 3) for k, v in ratios.items()}}), flush=True)


if __name__ == "__main__":
    main()
