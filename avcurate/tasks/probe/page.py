"""A probe's results in the terminal and as an offline page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from rich.console import Console
from rich.table import Table

from avcurate.attention.kinds import Kind
from avcurate.report.clips import shown
from avcurate.report.page import write_page
from avcurate.report.plots import drawn
from avcurate.runner.rundir import RunDir

EXAMPLES = 6
MOST_TOKENS = 400


def print_probe(summary: dict[str, Any], console: Console) -> None:
    """Print measures, then the probe's tables."""
    for table in (measures_table(summary), *summary["tables"]):
        printed = Table(*table["columns"], title=table["title"], title_justify="left")
        for row in table["rows"]:
            printed.add_row(*row)
        console.print(printed)


def measures_table(summary: dict[str, Any]) -> dict[str, Any]:
    """Measures as a table of text."""
    columns = ["measure", "n", "mean", "95 %"]
    if summary["against"]:
        columns += ["other run", "difference", "95 %"]
    rows = []
    for m in summary["measures"]:
        row = [m["measure"], str(m["n"]), f"{m['mean']:.4f}", "{:.4f} to {:.4f}".format(*m["interval"])]
        if summary["against"]:
            paired = m.get("against")
            if paired:
                low, high = paired["interval"]
                row += [f"{paired['other']:.4f}", f"{paired['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}"]
            else:
                row += ["–"] * 3
        rows.append(row)
    return {"title": summary["model"], "columns": columns, "rows": rows}


def write_probe(run: RunDir, name: str, summary: dict[str, Any]) -> Path:
    """Write ``report.html`` into the run; text is escaped, clips are linked in place."""
    return write_page(
        run.root / "report.html",
        __package__,
        name=name.replace("-", " ", 1),
        summary=summary,
        tables=[measures_table(summary), *summary["tables"]],
        figures=[drawn(f) for f in summary["figures"]],
        examples=list(_examples(run, f"probe_{name.removeprefix('probe-')}")),
    )


def _examples(run: RunDir, stage: str) -> list[dict[str, Any]]:
    """The first rows, each response with its tokens coloured by what the probe measured of them."""
    media_root = (run.path_of("swapped") or run.path_of("media") or Path()).resolve()
    examples: list[dict[str, Any]] = []
    for table in run.parts(stage).rows():
        for row in table.to_pylist():
            if len(examples) >= EXAMPLES:
                return examples
            examples.append(
                {
                    "clip": shown(media_root / row["media"], run.root, row["start"], row["end"]),
                    "picture": _picture(run, row["question_id"]),
                    "question": row["question"],
                    "choices": row["choices"],
                    "answer": row["answer"],
                    "responses": [_response(e) for e in row["probed"][:8]],
                }
            )
    return examples


def _picture(run: RunDir, question: str) -> str:
    """The row's picture of sinks, relative to the page; empty without one."""
    from avcurate.tasks.probe.sink_pictures import picture_of

    path = picture_of(run, question)
    return quote(path.relative_to(run.root).as_posix()) if path.is_file() else ""


def _response(entry: dict[str, Any]) -> dict[str, Any]:
    detail = next((f"{entry[k]}" for k in ("cut", "way", "follows") if entry.get(k) is not None), "")
    return {
        "condition": entry["condition"],
        "detail": detail,
        "answer": entry["answer"],
        "correct": entry["correct"],
        "text": entry["text"],
        "tokens": coloured(entry)[:MOST_TOKENS],
    }


def coloured(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """(text, CSS colour) of each token: attention to sound in orange under it and to picture in blue behind it."""
    if entry.get("mean") is not None:
        share = np.array(entry["mean"], dtype=np.float64).mean(0)
        sound, picture = share[:, Kind.AUDIO], share[:, Kind.VIDEO]
    elif entry.get("kl") is not None:
        sound, picture = np.array(entry["kl"], dtype=np.float64), np.zeros(len(entry["kl"]))
    elif entry.get("entropy") is not None:
        sound = np.abs(np.array(entry["without"], dtype=np.float64) - np.array(entry["entropy"], dtype=np.float64))
        picture = np.zeros(len(sound))
    else:
        return []
    most = max(float(sound.max(initial=0.0)), float(picture.max(initial=0.0)), 1e-9)
    return [
        (token, f"border-bottom-color:rgba(217,119,6,{s / most:.2f});background:rgba(37,99,235,{0.55 * p / most:.2f})")
        for token, s, p in zip(entry["tokens"], sound, picture, strict=True)
    ]
