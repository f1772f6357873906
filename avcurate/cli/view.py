"""``view``: a local page over the rows of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from avcurate.runner.rundir import RunDir
    from avcurate.viewer.view import View


def view(
    run: Annotated[
        Path, typer.Argument(help="A run directory of any task, finished or going on; or a benchmark's folder.")
    ],
    other: Annotated[Path | None, typer.Argument(help="A second run of the same rows, to show beside it.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port of the local page; by default 8765, or any if in use.", min=0)
    ] = None,
) -> None:
    """Look at the rows of a run: search, filter, play, and see how each label came to be.

    The page is served to this machine alone, at an address that holds a token. It follows a run that goes on, and
    writes nothing. What can be typed into its search box, and its keys: docs/view.md, or `?` on the page.

    Examples:

      avcurate view runs/pem

      avcurate view runs/pem runs/pem-other-model

      avcurate view runs/bench/benchmark
    """
    import tempfile

    from avcurate.review.verdicts import verdict_columns
    from avcurate.viewer.serve import serve

    with tempfile.TemporaryDirectory() as scratch:
        shown = [_shown(r, Path(scratch) / str(i)) for i, r in enumerate((run, other)) if r is not None]
        serve(shown, port, lambda url: typer.echo(f"Open {url} (Ctrl+C ends)", err=True), verdict_columns)


def _shown(folder: Path, scratch: Path) -> tuple[RunDir, View]:
    """A run as its task shows it; of a benchmark's folder its questions, read into a run that is thrown away."""
    from avcurate.runner.rundir import RunDir
    from avcurate.sources.benchmark_folder import MANIFEST
    from avcurate.tasks.label_pem.ingest import ingest_only
    from avcurate.tasks.label_pem.recipe import LabelPemRecipe
    from avcurate.tasks.label_pem.task import LabelPem
    from avcurate.tasks.run import load_recipe, task_of
    from avcurate.viewer.view import View

    run = RunDir(folder)
    if run.exists() or not (folder / MANIFEST).is_file():
        return run, task_of(run, run.record()).view
    recipe = load_recipe(LabelPem, None, {"input.annotations": str(folder)})
    assert isinstance(recipe, LabelPemRecipe)
    named = scratch / folder.resolve().parent.name
    ingest_only(recipe, named)
    return RunDir(named), View(label="question_type")
