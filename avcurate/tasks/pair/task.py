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
    """Pair each clip with a donor whose sound contradicts it, one to one, at minimum total similarity.

    Donors are refused if their caption is too similar to the clip's audio or video caption, or contains the clip's
    answer; also if they come from the same video, sound nearly the same, are too short or too quiet, or belong to
    another split. Up to 2,048 clips are solved exactly, more in blocks. Writes pairs.jsonl for `avcurate swap`.

    Example: avcurate pair audiocaps_test.csv --media clips -o runs/pairs
    """

    name = "pair"
    recipe = PairRecipe
    default = "pair"

    def plan(self, recipe: PairRecipe, context: Context) -> Job:
        """Captions, facts about the sounds, pairs."""
        inputs = recipe.input
        assert inputs.captions is not None
        embedder = context.embedder or open_embedder(recipe.embedder)
        return Job(
            CaptionSource(inputs.captions, inputs.columns, inputs.salvage),
            (
                ListenStage(inputs.media, recipe.run.threads),
                PairStage(recipe, embedder, context.out / "embeddings"),
            ),
            write_pairs,
        )

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Similarities of the pairs, and why donors were refused."""
        from avcurate.tasks.pair.summary import summarise_pair

        return summarise_pair(run)

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print both tables."""
        from avcurate.tasks.pair.terminal import print_pairing

        print_pairing(summary, console)
