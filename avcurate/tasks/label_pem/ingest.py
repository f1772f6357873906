"""The first stage of label-pem by itself; label-pem resumes from it."""

from __future__ import annotations

from pathlib import Path

from avcurate.runner.job import Job, run_job
from avcurate.runner.tally import Begin, Tally, begin_no_progress
from avcurate.tasks.about import about
from avcurate.tasks.asking import question_source
from avcurate.tasks.base import require_inputs
from avcurate.tasks.label_pem.recipe import LabelPemRecipe
from avcurate.tasks.label_pem.task import LabelPem
from avcurate.tasks.run import how_of


def ingest_only(recipe: LabelPemRecipe, out: Path, begin: Begin = begin_no_progress) -> Tally:
    """Read the annotations into the table ``questions``.

    Raises:
        UserError: an input is missing or cannot be read in full.
    """
    require_inputs(recipe.input, LabelPem.name)
    job = Job(question_source(recipe.input), ())
    tallies = run_job(out, about(LabelPem.name, recipe), lambda: job, how_of(recipe), begin)
    return tallies[job.source.name]
