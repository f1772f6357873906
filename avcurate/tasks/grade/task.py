"""``grade``: a finished evaluation in, scores by a judge, by meaning and by form out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avcurate.engines.embedder import open_embedder
from avcurate.engines.open import open_engine
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.tasks.base import Context, Task
from avcurate.tasks.grade.recipe import GradeRecipe
from avcurate.tasks.grade.source import AnswerSource
from avcurate.tasks.grade.stage import GradeStage
from avcurate.viewer.view import View

if TYPE_CHECKING:
    from rich.console import Console


class Grade(Task[GradeRecipe]):
    """Score the answers of a finished evaluation as benchmarks with a judge do.

    MMAU-Pro: the choice nearest in meaning to an answer, open answers rated from 1 to 5 by a judge, instructions
    checked by the form of the answer. Other open questions, e.g. MUSIC-AVQA's: does the judge call it the reference?
    Without -m, what needs a judge is left out and counted.

    Example: avcurate grade runs/mmau-pro -m Qwen/Qwen2.5-7B-Instruct -e server --url http://127.0.0.1:8000/v1
    -o runs/graded
    """

    name = "grade"
    recipe = GradeRecipe
    default = "grade"
    view = View(label="kind")

    def plan(self, recipe: GradeRecipe, context: Context) -> Job:
        """Answers, graded."""
        assert recipe.input.evaluation is not None
        source = AnswerSource(recipe.input.evaluation)
        rule = recipe.rule or ("mmau-pro" if source.source == "mmau-pro" else "same")
        engine = context.engine or (open_engine(recipe.model) if recipe.model.model else None)
        embedder = (context.embedder or open_embedder(recipe.embedder)) if rule == "mmau-pro" else None
        return Job(source, (GradeStage(recipe, rule, engine, embedder),))

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Scores per condition and category."""
        from avcurate.tasks.grade.summary import summarise_grade

        return summarise_grade(run)

    def show(self, summary: dict[str, Any], out: Console) -> None:
        """Print a table per condition."""
        from rich.table import Table

        for condition, m in summary["conditions"].items():
            title = f"{condition}, rule {summary['rule']}"
            table = Table("category", "how", "questions", "score", "not graded", title=title, title_justify="left")
            for c in m["categories"]:
                cells = (c["category"] or "–", ", ".join(c["kinds"]) or "–", f"{c['questions']:,}")
                table.add_row(*cells, f"{c['score']:.1%}", f"{c['lost']:,}")
            low, high = m["interval"]
            score = f"{m['score']:.1%} ({low:.1%} to {high:.1%})"
            table.add_row("all", "", f"{m['questions']:,}", score, f"{m['lost']:,}", style="bold")
            out.print(table)
            if m["as_released"] is not None and m["as_released"] != m["score"]:
                out.print(f"Over graded questions alone, as releases count: {m['as_released']:.1%}.")
            if m["unreadable"]:
                out.print(f"{m['unreadable']:,} of the judge's replies could not be read; they score 0.")
