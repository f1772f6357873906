"""``swap``: pairs in, counterfactual clips out."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.store.atomic import write_text
from avcurate.tasks.base import Context, Task
from avcurate.tasks.records import RecordSource
from avcurate.tasks.swap.recipe import SwapRecipe
from avcurate.tasks.swap.stage import KINDS, SwapStage

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


class Swap(Task[SwapRecipe]):
    """Make counterfactual clips: the picture of one clip, copied bit for bit, with the sound of another.

    The sound is cut, repeated or padded to the picture's length and matched to the loudness it replaces. A hash of
    the picture's packets is compared before and after; files are named by their inputs. Writes clips.csv, the list that
    `avcurate caption --swapped` takes.

    Example: avcurate swap runs/pairs/pairs.jsonl --media clips -o counterfactual
    """

    name = "swap"
    recipe = SwapRecipe
    default = "swap"

    def plan(self, recipe: SwapRecipe, context: Context) -> Job:
        """Pairs, swapped."""
        assert recipe.input.pairs is not None
        source = RecordSource(recipe.input.pairs, recipe.input.salvage)
        return Job(source, (SwapStage(recipe, context.out),), write_clip_list)

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Number of files of each kind."""
        counts = dict.fromkeys(KINDS, 0)
        for table in run.parts("swap").rows(columns=list(KINDS)):
            for kind in KINDS:
                counts[kind] += table.num_rows - table.column(kind).null_count
        return {"run": str(run.root), "clips": {k: n for k, n in counts.items() if n}}

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print where the files are."""
        for kind, n in summary["clips"].items():
            console.print(f"{kind}: {n:,} clips in {summary['run']}/{kind}")

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """The audit's page, which plays both clips of each pair."""
        from avcurate.tasks.swap.audit import audit
        from avcurate.tasks.swap.audit_page import write_audit_page

        return write_audit_page(run.root, audit(run))


def write_clip_list(run: RunDir) -> None:
    """Write ``clips.csv``: every clip of the run, with the donor of its sound as its label."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip", "label"))
    for table in run.parts("swap").rows(columns=["clip", "donor"]):
        writer.writerows((r["clip"], r["donor"]) for r in table.to_pylist())
    write_text(run.root / "clips.csv", text.getvalue())
