"""How a question's label came to be, step by step, and what its rows are shown by."""

from __future__ import annotations

from typing import Any

from avcurate.metrics.pem import ABOUT
from avcurate.metrics.solvability import needed
from avcurate.viewer.view import View

_SHOWN = {"a": "sound alone", "v": "picture alone", "av": "sound and picture"}


def steps(row: dict[str, Any]) -> list[str]:
    """Sentences from what was answered to the label; empty before the row is labelled."""
    if "pem" not in row:
        return []
    said = [_setting(row, s, name) for s, name in _SHOWN.items()]
    if row.get("solved_blind") is not None:
        said.append(f"question alone: {'solved' if row['solved_blind'] else 'not solved'}.")
    if row["pem"] is None:
        return [*said, f"No label: {ABOUT.get(row['discard_reason'], row['discard_reason'])}."]
    said.append(f"So the preferred evidence is {row['pem']}.")
    if row.get("confidence") is not None:
        said.append(f"A second sample would give the same label with probability {row['confidence']:.2f}.")
    return said


def _setting(row: dict[str, Any], setting: str, name: str) -> str:
    asked, right, n = row[f"{setting}_asked"] or 0, row[f"{setting}_k"] or 0, row.get("n") or 0
    if not asked:
        return f"{name}: not asked, since the label could no longer depend on it."
    early = f", stopped early at {asked} of {n}" if asked < n else ""
    parts = [f"{right} of {asked} right{early} (needs {needed(row['tau_acc'], n)} of {n})"]
    if row.get(f"{setting}_consistency") is not None:
        parts.append(f"consistency {row[f'{setting}_consistency']:.2f} (needs {row['tau_cot']:g})")
    solved = row[f"{setting}_solved"]
    return f"{name}: {', '.join(parts)}: {'undecided' if solved is None else 'solved' if solved else 'not solved'}."


LABEL_VIEW = View(
    label="pem",
    reason="discard_reason",
    columns={
        "spread": (
            "a_k",
            "round(greatest(a_k / nullif(a_asked, 0), v_k / nullif(v_asked, 0), av_k / nullif(av_asked, 0)) "
            "- least(a_k / nullif(a_asked, 0), v_k / nullif(v_asked, 0), av_k / nullif(av_asked, 0)), 3)",
        )
    },
    steps=steps,
)
