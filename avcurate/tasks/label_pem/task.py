"""``label-pem``: ingest, sample, score, label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.engines.embedder import open_embedder
from avcurate.media.folder import MediaFolder
from avcurate.metrics.pem import label
from avcurate.metrics.solvability import needed
from avcurate.prompts import get_prompt
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.scheduler.question import EarlyExit, count_right
from avcurate.scheduler.spec import CONDITIONS, SHUFFLED, TEXT
from avcurate.schema import Setting
from avcurate.tasks.asking import question_source
from avcurate.tasks.base import Context, Task
from avcurate.tasks.label_pem.labels import LabelStage, Thresholds
from avcurate.tasks.label_pem.recipe import LabelPemRecipe
from avcurate.tasks.label_pem.score import ScoreStage
from avcurate.tasks.label_pem.view import LABEL_VIEW
from avcurate.tasks.partners import PartnerStage
from avcurate.tasks.sampling import SampleStage
from avcurate.tasks.trained import warn_of_another_prompt

if TYPE_CHECKING:
    from rich.console import Console


class LabelPem(Task[LabelPemRecipe]):
    """Label each question's Preferred Evidence Modality: Audio, Visual or Audio-Visual.

    Shows a model the same question under audio only, video only and both, samples n answers each, and decides from
    correctness and consistency which settings solve it. Run the same command again to resume after an interruption.

    Examples:

      avcurate label-pem val_qa.json --media clips -o runs/pem

      avcurate label-pem val_qa.json --media clips -o runs/pem -r label-pem-qwen3-omni

      avcurate label-pem val_qa.json --media clips -o runs/pem -r label-pem-server --url http://gpu1:8000/v1

      avcurate label-pem mine.csv --map media=file --map question=q --map answer=gold --media clips -o runs/mine
    """

    name = "label-pem"
    recipe = LabelPemRecipe
    default = "label-pem"
    view = LABEL_VIEW

    def plan(self, recipe: LabelPemRecipe, context: Context) -> Job:
        """Questions, sampled, scored and labelled."""
        inputs = recipe.input
        assert inputs.media is not None
        spec, workers, unreadable = recipe.spec(), recipe.run.threads, recipe.fail_on_unreadable
        warn_of_another_prompt(recipe.model.model, spec.prompt)
        engine = recipe.open(context.engine)
        early_exit = EarlyExit(recipe.tau_acc, engine.keeps_prompts) if recipe.early_exit else None
        embedder = context.embedder or open_embedder(recipe.embedder.model)
        blind = {"text": CONDITIONS[TEXT], "shuffled": CONDITIONS[SHUFFLED], None: None}[recipe.blind]
        thresholds = Thresholds(recipe.tau_acc, recipe.embedder.tau_cot, recipe.min_confidence)
        stages = (
            SampleStage(engine, spec, inputs.media, workers, early_exit, unreadable, blind=blind),
            ScoreStage(embedder, recipe.n, spec.prompt, blind=blind is not None),
            LabelStage(thresholds, blind=blind is not None),
        )
        first = (PartnerStage(recipe.seed),) if recipe.blind == "shuffled" else ()
        return Job(question_source(inputs, MediaFolder(inputs.media, inputs.media_pattern)), (*first, *stages))

    def label_of(self, recipe: LabelPemRecipe, stage: str, row: dict[str, Any]) -> str | None:
        """The label a sampled row would get by correctness alone."""
        if stage != "sample":
            return None
        need, prompt = needed(recipe.tau_acc, recipe.n), get_prompt(recipe.prompt)
        solved = [count_right(row, row[f"{s}_responses"], prompt) >= need for s in Setting]
        pem, _ = label(*solved)
        return str(pem) if pem else "discard"

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Counts, label mix, correctness per setting, what early exit saved."""
        from avcurate.tasks.label_pem.summary import summarise

        return summarise(run)

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print labels, settings and savings."""
        from avcurate.tasks.label_pem.terminal import print_summary

        print_summary(summary, console)

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """Offline page: what happened to every row, the labels, examples to listen to."""
        from avcurate.tasks.label_pem.page import write_report

        return write_report(run, summary)
