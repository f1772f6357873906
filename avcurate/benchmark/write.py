"""A benchmark on disk: its clips, its funnel, and what was left out and why."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

from avcurate import __version__
from avcurate.benchmark.build import Selection
from avcurate.benchmark.rules import BenchmarkRecipe
from avcurate.errors import UserError
from avcurate.store.atomic import sha256, write_json, write_text


def write_benchmark(out: Path, recipe: BenchmarkRecipe, chosen: Selection, inputs: list[Path]) -> dict[str, Any]:
    """Write ``clips.csv``, ``filtered.csv`` and ``benchmark.json``.

    ``clips.csv`` has the columns clip_id, clip (the file's name as VGGSound has it), label, youtube_id and
    start, and is read by every command that takes a list of clips.

    Raises:
        UserError: the folder holds other files.
    """
    own_files = {"clips.csv", "filtered.csv", "benchmark.json"}
    if out.exists() and any(p.name not in own_files for p in out.iterdir()):
        raise UserError(f"{out} holds other files.", "Give a new folder with -o.")
    rows = [
        (clip, f"{clip}.mp4", label, *clip.rsplit("_", 1))
        for clip, label in sorted(chosen.kept.items(), key=lambda kv: (kv[1], kv[0]))
    ]
    write_text(out / "clips.csv", _csv(("clip_id", "clip", "label", "youtube_id", "start"), rows))
    left_out = sorted(chosen.filtered) + [("", b.message, b.reason) for b in chosen.bad]
    write_text(out / "filtered.csv", _csv(("clip_id", "label", "reason"), left_out))
    facts = {
        "benchmark": recipe.name,
        "avcurate": __version__,
        "clips": len(rows),
        "classes": dict(sorted(Counter(label for _, label in chosen.kept.items()).items())),
        "funnel": [{"step": step, "clips": n} for step, n in chosen.funnel],
        "filtered": dict(Counter(reason for _, _, reason in chosen.filtered)),
        "dead": dict(Counter(b.reason for b in chosen.bad)),
        "inputs": {p.name: sha256(p) for p in inputs},
        "recipe": recipe.model_dump(mode="json"),
    }
    write_json(out / "benchmark.json", facts)
    return facts


def _csv(header: tuple[str, ...], rows: list[Any]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
