"""``hallucination``: captions and truth in, measures out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avcurate.engines.embedder import open_embedder
from avcurate.engines.open import open_engine
from avcurate.metrics.captioning import MEASURES, require_captioning
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.tasks.base import Context, Task
from avcurate.tasks.hallucination.recipe import HallucinationRecipe
from avcurate.tasks.hallucination.stage import HallucinationStage
from avcurate.tasks.records import RecordSource

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


class Hallucination(Task[HallucinationRecipe]):
    """Measure what captions hallucinate: CHAIR-i, CHAIR-s, precision, recall, F1, and ALOHa.

    Objects are class names, detections or plain words; references are captions whose objects count as true.
    Writes a page that marks every hallucinated word.

    Examples:

      avcurate hallucination captions.jsonl --truth objects.jsonl --aloha -o runs/captions

      avcurate hallucination captions.jsonl --truth objects.jsonl --extractor Qwen/Qwen3-32B -e server
      --url http://127.0.0.1:8000/v1 -o runs/captions

      avcurate hallucination captions/av.jsonl --truth AVHBench/QA.json --captioning -o runs/captions
    """

    name = "hallucination"
    recipe = HallucinationRecipe
    default = "hallucination"

    def plan(self, recipe: HallucinationRecipe, context: Context) -> Job:
        """Records, scored."""
        assert recipe.input.captions is not None
        if recipe.captioning:
            require_captioning()
        embedder = (context.embedder or open_embedder(recipe.embedder)) if recipe.with_aloha else None
        engine = context.engine or (open_engine(recipe.extractor) if recipe.extractor.model else None)
        return Job(
            RecordSource(recipe.input.captions, recipe.input.salvage), (HallucinationStage(recipe, embedder, engine),)
        )

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Measures with intervals."""
        from avcurate.tasks.hallucination.summary import summarise_hallucination

        return summarise_hallucination(run)

    def show(self, summary: dict[str, Any], out: Console) -> None:
        """Print the measures, and how well they separate flagged captions."""
        from rich.table import Table

        table = Table("measure", "value", "95 %", title=f"{summary['captions']:,} captions", title_justify="left")
        for name, m in summary["measures"].items():
            low, high = m["interval"]
            defined = m["value"] is not None and low is not None
            cells = (
                (f"{m['value']:.3f}", f"{low:.3f} to {high:.3f}") if defined else ("-", "undefined (no denominator)")
            )
            table.add_row(name.replace("_", "-"), *cells)
        if summary["aloha"]["mean"] is not None:
            table.add_row("aloha", f"{summary['aloha']['mean']:.3f}", f"over {summary['aloha']['captions']:,} captions")
        shared = summary["captioning"] or {}
        for name in MEASURES if "meteor" in shared else ():
            table.add_row(name.replace("_", "-"), f"{shared[name]:.3f}", f"over {shared['captions']:,} captions")
        out.print(table)
        if "told_apart" in summary:
            flags = summary["told_apart"]
            rates = {k: "-" if v is None else f"{v:.1%}" for k, v in flags["chair"].items()}
            out.print(
                f"Flagged in the input: {flags['hallucinated']:,} of {flags['captions']:,}. A hallucinated object is "
                f"found in {rates['flagged_of_hallucinated']} of those and {rates['flagged_of_faithful']} of the rest."
            )
            if "aloha_auc" in flags:
                out.print(f"ALOHa ranks a flagged caption below an unflagged one in {flags['aloha_auc']:.1%} of pairs.")

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """Captions with every hallucinated word marked."""
        from avcurate.tasks.hallucination.page import write_captions_page

        return write_captions_page(run, summary)
