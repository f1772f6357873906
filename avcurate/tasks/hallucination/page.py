"""An offline page of captions with hallucinated words marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from avcurate.report.page import write_page
from avcurate.runner.rundir import RunDir

SHOWN = 200


def write_captions_page(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html``: measures, then captions, most hallucinated objects first."""
    rows: list[dict[str, Any]] = []
    for table in run.parts("hallucination").rows():
        rows += table.to_pylist()
        rows = sorted(rows, key=lambda r: (-sum(m["invented"] for m in r["mentions"]), r["row"]))[:SHOWN]
    return write_page(
        run.root / "report.html",
        __package__,
        summary=summary,
        rows=[r | {"marked": mark(r["caption"], r["mentions"])} for r in rows],
    )


def mark(caption: str, mentions: list[dict[str, Any]]) -> Markup:
    """The caption with true and hallucinated objects marked; all text escaped."""
    parts: list[Markup] = []
    position = 0
    for m in mentions:
        kind = "bad" if m["invented"] else "good"
        parts.append(escape(caption[position : m["start"]]))
        words = escape(caption[m["start"] : m["end"]])
        parts.append(Markup('<mark class="{}" title="{}">{}</mark>').format(kind, m["node"], words))
        position = m["end"]
    parts.append(escape(caption[position:]))
    return Markup("").join(parts)
