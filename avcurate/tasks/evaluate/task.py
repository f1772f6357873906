"""``eval``: questions in, measures out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.engines.open import open_engine
from avcurate.errors import UserError
from avcurate.media.folder import MediaFolder
from avcurate.prompts import get_prompt
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.tasks.asking import question_source
from avcurate.tasks.base import Context, Task
from avcurate.tasks.conditions import conditions_of, swapped_folder
from avcurate.tasks.evaluate.recipe import EvaluateRecipe
from avcurate.tasks.evaluate.stage import EvalStage
from avcurate.tasks.partners import PartnerStage
from avcurate.tasks.trained import warn_of_another_prompt
from avcurate.viewer.view import View

if TYPE_CHECKING:
    from rich.console import Console


class Evaluate(Task[EvaluateRecipe]):
    """Evaluate a model on AVHBench, AVQA, MUSIC-AVQA, Valor32k-AVQA or any table of questions.

    Prints accuracy with intervals over every question of the file (one that could not be asked is wrong), the share of
    unreadable answers, the benchmark's own rule beside ours, and the papers' AVHBench average; for yes/no questions
    also precision, recall, F1 and the rate of Yes. Writes report.md and report.html.

    Example: avcurate eval QA.json --media clips -m Qwen/Qwen2.5-Omni-7B --conditions a,v,av -o runs/avhbench
    """

    name = "eval"
    recipe = EvaluateRecipe
    default = "eval"
    view = View(label="result")

    def plan(self, recipe: EvaluateRecipe, context: Context) -> Job:
        """Questions under every condition."""
        inputs, conditions = recipe.input, conditions_of(recipe.conditions, recipe.prompt)
        _refuse_mask(recipe)
        warn_of_another_prompt(recipe.model.model, get_prompt(recipe.prompt))
        assert inputs.media is not None
        if inputs.against is not None:
            RunDir(inputs.against).require("eval", made_by="eval")
        folder = MediaFolder(inputs.media, inputs.media_pattern)
        if inputs.swapped is not None:
            folder = swapped_folder(inputs.swapped, recipe.variant, inputs.media, inputs.media_pattern)
        engine = context.engine or open_engine(recipe.answering, recipe.layout == "interleaved")
        stage = EvalStage(engine, recipe.spec(), conditions, folder.root, recipe.run.threads, recipe.fail_on_unreadable)
        first = (PartnerStage(recipe.seed),) if any(c.other for c in conditions) else ()
        return Job(question_source(inputs, folder), (*first, stage))

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Measures per condition, and the comparison with another run."""
        from avcurate.tasks.evaluate.summary import compare_runs, summarise_eval

        other = run.path_of("against")
        return summarise_eval(run) | {"against": compare_runs(run, RunDir(other)) if other else None}

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print both tables."""
        from avcurate.tasks.evaluate.page import print_evaluation

        print_evaluation(summary, summary["against"], "the other run", console)

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """``report.md`` and ``report.html``."""
        from avcurate.tasks.evaluate.page import write_evaluation

        return write_evaluation(run.root, summary, summary["against"], str(run.path_of("against") or ""))


def _refuse_mask(recipe: EvaluateRecipe) -> None:
    spec = recipe.answering
    if "maam" not in spec.options:
        return
    if spec.engine != "transformers":
        raise UserError(
            f"engine {spec.engine!r} cannot decode under MAAM: it does not support the mask.",
            "Use --engine transformers.",
        )
    if not get_prompt(recipe.prompt).fuses:
        raise UserError(
            f"MAAM masks separate-then-fuse responses, not those of prompt {get_prompt(recipe.prompt).name!r}.",
            "Add --prompt separate-then-fuse.",
        )
