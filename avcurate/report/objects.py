"""One page of contact sheets, so that a person can judge the detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from avcurate.runner.rundir import RunDir
from avcurate.store.atomic import write_text

SHOWN = 200


def write_objects_page(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html``: counts of objects, then clips with their sheets and sets."""
    rows: list[dict[str, Any]] = []
    columns = ["clip_id", "labels", "annotated", "detected", "sheet", "detections"]
    for table in run.parts("objects").rows(columns=columns):
        rows += table.slice(0, SHOWN - len(rows)).to_pylist()
        if len(rows) >= SHOWN:
            break
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("avcurate.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("objects.html.j2").render(summary=summary, rows=rows)
    target = run.root / "report.html"
    write_text(target, page)
    return target
