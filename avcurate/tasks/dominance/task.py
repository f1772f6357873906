"""``dominance``: a model asked about clips, or published answers replayed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from avcurate.errors import UserError
from avcurate.prompts import get_prompt
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.sources.pool import pool_format
from avcurate.store.atomic import write_text
from avcurate.tasks.asking import ClipInput, clip_source
from avcurate.tasks.base import Context, Task
from avcurate.tasks.dominance.recipe import DominanceRecipe, load_pool
from avcurate.tasks.dominance.stages import DominanceStage, PredictionSource, ReplayStage
from avcurate.tasks.sampling import SampleStage
from avcurate.viewer.view import View

if TYPE_CHECKING:
    from rich.console import Console


DOMINANT = "dominant.jsonl"
_MODALITY = {"audio": "Audio", "video": "Visual"}


def write_dominant(run: RunDir) -> None:
    """Write the questions whose answer one modality decides, with that modality and the answer, for `probe trace`."""
    columns = ["question_id", "clip_id", "media", "question", "choices", "av_prediction", "dominance", "start", "end"]
    lines = []
    for table in run.parts("dominance").rows(columns=columns):
        for row in table.to_pylist():
            if row["dominance"] is not None:
                line = {"id": row["question_id"], "video": row["clip_id"], "answer": row["av_prediction"][0]}
                line |= {k: row[k] for k in ("media", "question", "choices", "start", "end") if row[k] is not None}
                lines.append(json.dumps(line | {"modality": _MODALITY[row["dominance"]]}, ensure_ascii=False) + "\n")
    write_text(run.root / DOMINANT, "".join(lines))


class Dominance(Task[DominanceRecipe]):
    """Find clips that one modality decides: audio-dominant (AV = A, not V) and video-dominant (AV = V, not A).

    The model assigns each clip a class of a pool under audio only, video only and both; options are shuffled per clip.
    With --n above 1, the majority decides and its share is stored. Clips that one modality decides are also written as
    questions, dominant.jsonl, which `avcurate probe trace` and `eval` read.

    Examples:

      avcurate dominance vggsound.csv --media clips --pool pool-sports -m Qwen/Qwen2.5-Omni-7B -o runs/sports

      avcurate dominance --replay predictions.jsonl --labels vggsounder.csv -o runs/replayed
    """

    name = "dominance"
    recipe = DominanceRecipe
    default = "dominance"
    view = View(label="dominance", reason="dominance_reason")

    def plan(self, recipe: DominanceRecipe, context: Context) -> Job:
        """Clips sampled in full, or published answers; then dominance."""
        inputs = recipe.input
        if inputs.replay is not None:
            return Job(PredictionSource(inputs.replay, inputs.labels), (ReplayStage(recipe.by),))
        if inputs.clips is None or inputs.media is None:
            raise UserError("dominance needs a clip list and --media, or --replay.", "See `avcurate dominance --help`.")
        pool = load_pool(recipe.pool)
        depends = {"pool": pool.model_dump(mode="json"), "seed": recipe.seed}
        clips = ClipInput(clips=inputs.clips, media=inputs.media, media_pattern=inputs.media_pattern)
        source = clip_source(clips, pool_format(pool.name, pool.classes, recipe.seed), depends)
        sample = SampleStage(
            recipe.open(context.engine),
            recipe.spec(),
            inputs.media,
            recipe.run.threads,
            unreadable=recipe.fail_on_unreadable,
        )
        return Job(source, (sample, DominanceStage(recipe.by, get_prompt(recipe.prompt))), write_dominant)

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Counts by dominance and by reason, hits per setting, disagreement."""
        from avcurate.tasks.dominance.summary import summarise_dominance

        return summarise_dominance(run)

    def show(self, summary: dict[str, Any], out: Console) -> None:
        """Print the counts."""
        from rich.table import Table

        from avcurate.metrics.dominance import ABOUT

        table = Table(
            "dominance", "clips", "answer matches the label", title="Unimodal dominance", title_justify="left"
        )
        for name, n in summary["dominance"].items():
            agreement = summary["label_agreement"].get(name)
            table.add_row(name, f"{n:,}", "-" if agreement is None else f"{agreement:.1%}")
        for name, n in summary["none"].items():
            table.add_row(f"none: {ABOUT[name]}", f"{n:,}", "")
        out.print(table)
        exact = ", ".join(f"{name} {n:,}" for name, n in summary["strict"].items()) or "none"
        out.print(f"By predictions and strict equality of the answers as written: {exact}.")
        out.print(
            f"Audio and video alone give different answers on {summary['disagree']:,} of {summary['clips']:,} clips."
        )
        if summary["labelled"]:
            rate = summary["hit_rate"]["av"]
            out.print(
                f"Over all {summary['labelled']:,} labelled clips the answer to both matches a label in {rate:.1%}."
            )
            out.print(
                f"Of {summary['labelled']:,} labelled clips, {summary['hallucinated']:,} get an answer that matches "
                f"none of their labels; on {summary['hallucinated_and_disagree']:,} of those, audio and video disagree."
            )
