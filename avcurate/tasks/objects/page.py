"""A page of contact sheets for judging the detector by eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avcurate.report.clips import EMPTY, shown
from avcurate.report.examples import drawn_rows
from avcurate.report.page import write_page
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import stage_counts

SHOWN = 60


def write_objects_page(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html``: object counts, then clips drawn by seed, with contact sheets and object sets."""
    columns = ["clip_id", "media", "labels", "annotated", "detected", "sheet"]
    folder = run.path_of("media")
    rows = drawn_rows(run, "objects", "clip_id", SHOWN, columns=columns)
    for row in rows:
        row["clip"] = shown(folder / row["media"], run.root) if folder is not None else EMPTY
    record = run.record()
    return write_page(run.root / "report.html", __package__, summary=summary, rows=rows, stages=stage_counts(record))
