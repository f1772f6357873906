"""``swap``: pairs in, counterfactual clips out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.tasks.base import Context, Task
from avcurate.tasks.records import RecordSource
from avcurate.tasks.swap.recipe import SwapRecipe
from avcurate.tasks.swap.stage import KINDS, SwapStage

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


class Swap(Task[SwapRecipe]):
    """Make counterfactual clips: the picture's packets are copied bit for bit, the sound is another's.

    The sound is cut, repeated or padded to the picture's length and brought to the loudness it replaces. A hash over
    the picture's packets is compared before and after; files are named by what they are made of.

    Example: avcurate swap runs/pairs/pairs.jsonl --media clips -o counterfactual
    """

    name = "swap"
    recipe = SwapRecipe
    default = "swap"

    def plan(self, recipe: SwapRecipe, context: Context) -> Job:
        """Pairs, made."""
        assert recipe.input.pairs is not None
        return Job(RecordSource(recipe.input.pairs, recipe.input.salvage), (SwapStage(recipe, context.out),))

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """How many files of each kind there are."""
        made = dict.fromkeys(KINDS, 0)
        for table in run.parts("swap").rows(columns=list(KINDS)):
            for kind in KINDS:
                made[kind] += table.num_rows - table.column(kind).null_count
        return {"run": str(run.root), "clips": {k: n for k, n in made.items() if n}}

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Where the files lie."""
        for kind, n in summary["clips"].items():
            console.print(f"{kind}: {n:,} clips in {summary['run']}/{kind}")

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """The audit's page, which plays both clips of each pair."""
        from avcurate.tasks.swap.audit import audit
        from avcurate.tasks.swap.audit_page import write_audit_page

        return write_audit_page(run.root, audit(run))
