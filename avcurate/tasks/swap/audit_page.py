"""The HTML page of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avcurate.report.clips import linked, shown
from avcurate.report.page import write_page

SHOWN, POSTERS = 200, 24
"""Pairs on the page, and those of them whose clips have a poster and a waveform in it."""


def write_audit_page(root: Path, audit: dict[str, Any]) -> Path:
    """Write ``audit.html`` into the swap run, leaking pairs first; clips are played in place."""
    items = sorted(audit["items"], key=lambda r: (not r["says_answer"], not r["still_heard"]))[:SHOWN]
    drawn = [
        r | {"clips": [_clip(root, r[side], posters=i < POSTERS) for side in ("factual", "counterfactual")]}
        for i, r in enumerate(items)
    ]
    return write_page(root / "audit.html", __package__, "audit.html.j2", audit=audit, items=drawn)


def _clip(root: Path, name: str | None, *, posters: bool) -> dict[str, Any] | None:
    if name is None:
        return None
    return shown(root / name, root) if posters else linked(root / name, root)
