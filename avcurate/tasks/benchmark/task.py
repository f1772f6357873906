"""``benchmark hallucination``: evidence in, a benchmark out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.errors import UserError
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.sources.evidence import normal
from avcurate.tasks.base import Context, Task
from avcurate.tasks.benchmark.gather import EvidenceSource, LookStage, MergeStage, read_aliases
from avcurate.tasks.benchmark.publish import publish
from avcurate.tasks.benchmark.recipe import HallucinationBenchmarkRecipe
from avcurate.tasks.benchmark.stages import FOLDER, MakeStage, PlanStage
from avcurate.viewer.view import View

if TYPE_CHECKING:
    from rich.console import Console


class HallucinationBenchmark(Task[HallucinationBenchmarkRecipe]):
    """Build a hallucination and counterfactual benchmark from clips of which it is known what is heard and seen.

    Asks AVHBench's questions (is it visible, is it making sound, do they match, describe), which of four, and which
    comes first; and the same questions of clips edited in one modality and of their twins. No is asked only where
    something proves absence. Yes and No are balanced for every name. Without --media it plans and makes no file.

    Example: avcurate benchmark hallucination vggsounder.csv --media clips -o runs/hallucination
    """

    name = "benchmark-hallucination"
    recipe = HallucinationBenchmarkRecipe
    default = "benchmark-hallucination"
    view = View(label="task")

    def plan(self, recipe: HallucinationBenchmarkRecipe, context: Context) -> Job:
        """Evidence, merged; files, looked at; questions, planned; clips, made."""
        inputs = recipe.input
        assert inputs.evidence is not None
        read_aliases(inputs.aliases)
        seen, about = _detections(inputs.objects, recipe.low_score) if inputs.objects is not None else ({}, "")
        return Job(
            EvidenceSource(inputs.evidence, inputs.columns, inputs.salvage),
            (
                MergeStage(seen, about),
                LookStage(inputs.media, recipe.run.threads),
                PlanStage(recipe),
                MakeStage(recipe, context.out / FOLDER),
            ),
            lambda run: publish(run, recipe),
        )

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Questions by task, balance, edits, and what was left out and why."""
        from avcurate.tasks.benchmark.summary import summarise_benchmark

        return summarise_benchmark(run)

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print the tables."""
        from avcurate.tasks.benchmark.page import print_benchmark

        print_benchmark(summary, console)

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """Tables, and random questions of each task with their clips."""
        from avcurate.tasks.benchmark.page import write_benchmark_page

        return write_benchmark_page(run, summary)


def _detections(path: Path, low: float) -> tuple[dict[str, tuple[set[str], set[str]]], str]:
    """What a run of ``objects`` saw in each clip, and what nothing in any frame comes near; and what that depends on.

    Raises:
        UserError: scores as low as ``low`` were not stored.
    """
    run = RunDir(path)
    record = run.require("objects", made_by="objects")
    floor = record["stages"]["detect"]["identity"]["floor"]
    if floor > low:
        raise UserError(
            f"{path} stored detections from {floor:g} on, so nothing is known below it.",
            f"Run `avcurate objects` with --floor {low:g}, or raise low_score.",
        )
    scores: dict[str, dict[str, float]] = {}
    thresholds: dict[str, float] = {}
    for table in run.parts("objects").rows(columns=["clip_id", "detections", "threshold"]):
        for row in table.to_pylist():
            best: dict[str, float] = {}
            for d in row["detections"]:
                name = normal(d["label"])
                best[name] = max(best.get(name, 0.0), d["score"])
            scores[row["clip_id"]], thresholds[row["clip_id"]] = best, row["threshold"]
    names = {n for best in scores.values() for n in best}
    seen = {
        clip: (
            {n for n, s in best.items() if s >= thresholds[clip]},
            {n for n in names if best.get(n, 0.0) < low},
        )
        for clip, best in scores.items()
    }
    content = json.dumps({c: [sorted(a), sorted(b)] for c, (a, b) in sorted(seen.items())})
    return seen, hashlib.sha256(content.encode()).hexdigest()[:16]
