"""An offline page of captions with hallucinated words marked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from avcurate.errors import AvcurateError
from avcurate.media.folder import MediaFolder
from avcurate.report.clips import EMPTY, shown
from avcurate.report.examples import drawn_rows
from avcurate.report.page import write_page
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import stage_counts

SHOWN = 60


def write_captions_page(run: RunDir, summary: dict[str, Any]) -> Path:
    """Write ``report.html``: measures, the captions with most hallucinated objects, and some drawn by seed.

    With the recipe's ``input.media``, each with its clip.
    """
    folder = run.path_of("media")
    find = MediaFolder(folder).find if folder is not None and folder.is_dir() else None

    def dressed(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"marked": mark(row["caption"], row["mentions"]), "clip": _clip(find, folder, row, run)}

    worst: list[dict[str, Any]] = []
    for table in run.parts("hallucination").rows():
        worst += [r for r in table.to_pylist() if any(m["invented"] for m in r["mentions"])]
        worst = sorted(worst, key=lambda r: (-sum(m["invented"] for m in r["mentions"]), r["row"]))[:SHOWN]
    return write_page(
        run.root / "report.html",
        __package__,
        summary=summary,
        worst=[dressed(r) for r in worst],
        drawn=[dressed(r) for r in drawn_rows(run, "hallucination", "row", SHOWN)],
        stages=stage_counts(run.record()),
    )


def _clip(find: Callable[[str], str] | None, folder: Path | None, row: dict[str, Any], run: RunDir) -> dict[str, Any]:
    if find is None or folder is None:
        return EMPTY
    try:
        return shown(folder / find(row["clip_id"]), run.root)
    except AvcurateError:
        return EMPTY


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
