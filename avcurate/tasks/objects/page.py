"""A page of contact sheets for judging the detector by eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avcurate.report.page import write_page
from avcurate.runner.rundir import RunDir

SHOWN = 200


def write_objects_page(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html``: object counts, then clips with contact sheets and object sets."""
    rows: list[dict[str, Any]] = []
    columns = ["clip_id", "labels", "annotated", "detected", "sheet", "detections"]
    for table in run.parts("objects").rows(columns=columns):
        rows += table.slice(0, SHOWN - len(rows)).to_pylist()
        if len(rows) >= SHOWN:
            break
    return write_page(run.root / "report.html", __package__, summary=summary, rows=rows)
