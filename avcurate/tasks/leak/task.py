"""``leak``: questions in, the subset that needs what it claims to need out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.errors import UserError
from avcurate.media.folder import MediaFolder
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.scheduler.spec import CONDITIONS as KNOWN
from avcurate.sources.annotations import read_annotations
from avcurate.store.atomic import write_text
from avcurate.tasks.asking import QuestionSource
from avcurate.tasks.base import Context, Task
from avcurate.tasks.evaluate.stage import EvalStage
from avcurate.tasks.leak.recipe import LeakInput, LeakRecipe
from avcurate.tasks.leak.stages import CONDITIONS, LeakStage, TextStage
from avcurate.viewer.view import View

if TYPE_CHECKING:
    from rich.console import Console


class Leak(Task[LeakRecipe]):
    """Find which questions of a benchmark are answered from their text, picture or sound alone.

    Asks a model each question alone (t), with sound, with the picture, and with both, and has a simple reader guess
    each answer from the texts of other questions, cross-validated. Writes subset.jsonl: the records that need what
    they claim to need; without a claim, those not solved blind. --text-only needs neither model nor clips.

    Examples:

      avcurate leak QA.json --media clips -m Qwen/Qwen2.5-Omni-7B -o runs/leak

      avcurate leak QA.json --text-only -o runs/leak
    """

    name = "leak"
    recipe = LeakRecipe
    default = "leak"
    view = View(label="needs_it")

    def plan(self, recipe: LeakRecipe, context: Context) -> Job:
        """Questions, read; answered, unless text only; judged."""
        inputs = recipe.input
        last = LeakStage(recipe.tau, recipe.text_probability)
        text = TextStage(recipe.folds, recipe.seed)
        if recipe.text_only:
            return Job(_source(inputs, Unopened()), (text, last), write_subset)
        if inputs.media is None:
            raise UserError("a model is shown clips, and --media is missing.", "Give their folder, or --text-only.")
        folder = MediaFolder(inputs.media, inputs.media_pattern)
        chosen = [KNOWN[c] for c in CONDITIONS]
        engine = recipe.open(context.engine)
        stage = EvalStage(engine, recipe.spec(), chosen, folder.root, recipe.run.threads, recipe.fail_on_unreadable)
        return Job(_source(inputs, folder), (text, stage, last), write_subset)

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """What leaks, by type; the funnel; the text-only reader against chance."""
        from avcurate.tasks.leak.summary import summarise_leak

        return summarise_leak(run)

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print the tables."""
        from avcurate.tasks.leak.page import print_leak

        print_leak(summary, console)

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """The same tables, and questions that leak."""
        from avcurate.tasks.leak.page import write_leak_page

        return write_leak_page(run, summary)


def _source(inputs: LeakInput, folder: MediaFolder) -> QuestionSource:
    assert inputs.annotations is not None
    return QuestionSource(inputs.annotations, folder, inputs.format, inputs.columns, salvage=inputs.salvage)


class Unopened(MediaFolder):
    """Names of clips that nobody opens."""

    def __init__(self) -> None:
        self.pattern = None

    def find(self, name: str) -> str:
        """The name itself."""
        return name


def write_subset(run: RunDir) -> None:
    """Write ``subset.jsonl``: the input's records whose questions need what they claim, as they were."""
    wanted: set[int] = set()
    for table in run.parts("leak").rows(columns=["row", "needs_it"]):
        wanted.update(r["row"] for r in table.to_pylist() if r["needs_it"])
    path = run.path_of("annotations")
    if path is None:
        raise UserError(f"{run.root} does not say which annotations it read.", "Run the command again.")
    records = (r for r in read_annotations(path, salvage=True) if r.row in wanted and r.value is not None)
    lines = (json.dumps(r.value, ensure_ascii=False, default=str) + "\n" for r in records)
    write_text(run.root / "subset.jsonl", "".join(lines))
