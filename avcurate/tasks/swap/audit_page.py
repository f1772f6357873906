"""The HTML page of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avcurate.report.page import write_page

SHOWN = 200


def write_audit_page(root: Path, audit: dict[str, Any]) -> Path:
    """Write ``audit.html`` into the swap run, leaking pairs first; clips are played in place."""
    items = sorted(audit["items"], key=lambda r: (not r["says_answer"], not r["still_heard"]))
    return write_page(root / "audit.html", __package__, "audit.html.j2", audit=audit, items=items[:SHOWN])
