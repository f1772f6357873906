"""The card of a benchmark: what it asks, how it was made, what it leaves out, whose clips they are."""

from __future__ import annotations

from typing import Any

from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.tasks.benchmark.recipe import HallucinationBenchmarkRecipe
from avcurate.tasks.benchmark.summary import balance, unbalanced


def card_of(recipe: HallucinationBenchmarkRecipe, manifest: dict[str, Any], rows: list[Row], run: RunDir) -> str:
    """Markdown with a dataset card's front matter."""
    stages = run.record()["stages"]
    lines = [
        "---",
        f"license: {_one_line(recipe.licence)}",
        "task_categories: [visual-question-answering, video-text-to-text]",
        "tags: [audio-visual, hallucination, counterfactual]",
        "---",
        "",
        f"# {_one_line(recipe.title)}, version {_one_line(recipe.version)}",
        "",
        f"{len(rows):,} questions on {len({r['clip'] for r in rows}):,} clips, made with `avcurate benchmark "
        "hallucination`. Every answer carries the evidence that makes it true (`evidence`), for No as for Yes.",
        "",
        "| task | decided by | questions | Yes | No | names |",
        "|---|---|---|---|---|---|",
    ]
    for t in balance(rows):
        yes, no = ("–" if t[k] is None else f"{t[k]:,}" for k in ("yes", "no"))
        lines.append(f"| {t['task']} | {t['decided_by']} | {t['questions']:,} | {yes} | {no} | {t['names']:,} |")
    pairs = len({r["pair"] for r in rows if r["pair"]})
    lines += [
        "",
        f"{pairs:,} questions are asked twice: of a clip edited in one modality, and of its twin, coded the same way "
        "and changed in nothing. In `changes` stands whether the right answer differs between the two.",
        "",
        f"Names asked about with unequal numbers of Yes and No: {len(unbalanced(rows))}.",
        "",
        "## Left out",
        "",
    ]
    left = {
        f"{stage}: {reason}": n
        for stage in ("evidence", "merged", "looked", "plan", "make")
        for reason, n in (stages.get(stage, {}).get("filtered", {}) | stages.get(stage, {}).get("dead", {})).items()
    }
    lines += [f"- {reason}: {n:,}" for reason, n in left.items()] or ["- nothing"]
    lines += [
        "",
        "## Clips",
        "",
        "The clips are other people's. This folder may be passed on without `clips/`: from the originals,",
        "`avcurate benchmark rebuild FOLDER --media ORIGINALS` makes the same files again, byte for byte with the same",
        "ffmpeg, and says which original has changed.",
        "",
        f"Licence of the originals, as stated by whoever built this: {_one_line(recipe.licence)}.",
        "",
        "## Use",
        "",
        "    avcurate eval FOLDER -m MODEL -o runs/eval",
        "    avcurate benchmark score runs/eval",
        "    avcurate benchmark verify FOLDER",
        "",
        "`avhbench.json` has the yes/no questions in AVHBench's fields; `lmms_eval/` is a task for lmms-eval.",
        "",
        f"Digest: `{manifest['digest']}`",
        "",
    ]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/").replace("<", "(").replace(">", ")")
