"""``pair``: captioned clips in, pairs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avcurate.engines.embedder import open_embedder
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.tasks.base import Context, Task
from avcurate.tasks.pair.recipe import PairRecipe
from avcurate.tasks.pair.stages import CaptionSource, ListenStage, PairStage, write_pairs

if TYPE_CHECKING:
    from rich.console import Console


class Pair(Task[PairRecipe]):
    """Pair each clip with a donor whose sound says something else, one to one, at minimum total similarity.

    Refused are donors whose caption is too near the clip's audio or video caption, or says the clip's answer; donors
    from the same video, with nearly the same sound, too short, too quiet, or of another split. Up to 2,048 clips are
    solved exactly, more in blocks. Writes pairs.jsonl for `avcurate swap`.

    Example: avcurate pair audiocaps_test.csv --media clips -o runs/pairs
    """

    name = "pair"
    recipe = PairRecipe
    default = "pair"

    def plan(self, recipe: PairRecipe, context: Context) -> Job:
        """Captions, what the clips sound like, pairs."""
        inputs = recipe.input
        assert inputs.captions is not None
        embedder = context.embedder or open_embedder(recipe.embedder)
        return Job(
            CaptionSource(inputs.captions, inputs.columns, inputs.salvage),
            (
                ListenStage(inputs.media, recipe.run.workers),
                PairStage(recipe, embedder, context.out / "embeddings"),
            ),
            write_pairs,
        )

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """How near the pairs are, and why donors were refused."""
        from avcurate.tasks.pair.summary import summarise_pair

        return summarise_pair(run)

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Both tables."""
        from avcurate.tasks.pair.terminal import print_pairing

        print_pairing(summary, console)
