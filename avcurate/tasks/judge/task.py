"""``judge``: captions and truth in, scores of sound and picture out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avcurate.engines.open import open_engine
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.tasks.base import Context, Task
from avcurate.tasks.judge.recipe import JudgeRecipe
from avcurate.tasks.judge.stage import JudgeStage
from avcurate.tasks.records import RecordSource

if TYPE_CHECKING:
    from rich.console import Console


class Judge(Task[JudgeRecipe]):
    """Score captions in [0, 1] with a language model, separately for sound and picture.

    A reply that cannot be read is counted and stored, never scored 0. Given columns of human scores, Spearman's and
    Kendall's correlations are printed with intervals.

    Example: avcurate judge captions/av.jsonl --truth truth.jsonl -e server --url http://127.0.0.1:8000/v1 -o runs/judge
    """

    name = "judge"
    recipe = JudgeRecipe
    default = "judge"

    def plan(self, recipe: JudgeRecipe, context: Context) -> Job:
        """Records, judged."""
        assert recipe.input.captions is not None
        if recipe.input.against is not None:
            RunDir(recipe.input.against).require("judge", made_by="judge")
        engine = context.engine or open_engine(recipe.model)
        return Job(RecordSource(recipe.input.captions, recipe.input.salvage), (JudgeStage(engine, recipe),))

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Mean scores with intervals, agreement with humans, and the drop from another run."""
        from avcurate.tasks.judge.summary import compare_judged, summarise_judge

        other = run.path_of("against")
        return summarise_judge(run) | {"against": compare_judged(run, RunDir(other)) if other else None}

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print scores per modality, and the drop."""
        from avcurate.tasks.judge.terminal import print_judging

        print_judging(summary, summary["against"], console)
