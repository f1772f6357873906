"""``probe entropy``: how certain each token is, with a modality and without it."""

from __future__ import annotations

from typing import Any

from avcurate.media.decode import DecodedClip
from avcurate.runner.stage import Row
from avcurate.tasks.probe.bases import Without
from avcurate.tasks.probe.recipe import Modality
from avcurate.tasks.probe.speech import Speech
from avcurate.tasks.probe.stage import ProbeStage
from avcurate.train.core.relevance import entropy


class EntropyStage(ProbeStage):
    """Entropies, whose difference is MAPO's cross-modal differential entropy (MAPO §3.3, Figure 7)."""

    probe = "entropy"

    def __init__(self, *arguments: Any, without: Modality, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.less, self.speech = Without(without), Speech()

    def depends(self) -> dict[str, Any]:
        """The modality that is left out."""
        return {**self.less.identity(), **self.speech.identity()}

    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]]:
        """One entry for each response."""
        entries = []
        for answered in self.answers(row, clip):
            reading = self.reading(answered)
            entries.append(
                answered.row()
                | {
                    "tokens": reading.tokens,
                    "entropy": entropy(reading.logits()).tolist(),
                    "without": entropy(self.less.logits(reading)).tolist(),
                    "speech": self.speech.of(answered.ids, self.model.decode),
                }
            )
        return entries
