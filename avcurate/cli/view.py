"""``view``: a local page over the rows of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def view(
    run: Annotated[Path, typer.Argument(help="A run directory of any task, finished or going on.")],
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
    """
    from avcurate.review.verdicts import verdict_columns
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks.run import task_of
    from avcurate.viewer.serve import serve

    runs = [RunDir(r) for r in (run, other) if r is not None]
    shown = [(r, task_of(r, r.record()).view) for r in runs]
    serve(shown, port, lambda url: typer.echo(f"Open {url} (Ctrl+C ends)", err=True), verdict_columns)
