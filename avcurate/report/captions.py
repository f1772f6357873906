"""One offline page of captions with their invented words marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from avcurate.runner.rundir import RunDir
from avcurate.store.atomic import write_text

SHOWN = 200


def write_captions_page(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html``: measures, then captions, those with most invented objects first."""
    rows: list[dict[str, Any]] = []
    for table in run.parts("hallucination").rows():
        rows += table.to_pylist()
        rows = sorted(rows, key=lambda r: (-sum(m["invented"] for m in r["mentions"]), r["row"]))[:SHOWN]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("avcurate.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("captions.html.j2").render(
        summary=summary,
        rows=[r | {"marked": mark(r["caption"], r["mentions"])} for r in rows],
    )
    target = run.root / "report.html"
    write_text(target, page)
    return target


def mark(caption: str, mentions: list[dict[str, Any]]) -> Markup:
    """The caption with true objects and invented ones marked; all text escaped."""
    parts: list[Markup] = []
    at = 0
    for m in mentions:
        kind = "bad" if m["invented"] else "good"
        parts.append(escape(caption[at : m["start"]]))
        words = escape(caption[m["start"] : m["end"]])
        parts.append(Markup('<mark class="{}" title="{}">{}</mark>').format(kind, m["node"], words))
        at = m["end"]
    parts.append(escape(caption[at:]))
    return Markup("").join(parts)
