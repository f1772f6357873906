"""``probe attention``: where a response's attention goes, token by token and layer by layer."""

from __future__ import annotations

from typing import Any

from avcurate.attention.plan import Plan
from avcurate.attention.read import Shares
from avcurate.media.decode import DecodedClip
from avcurate.runner.stage import Row
from avcurate.tasks.probe.stage import ProbeStage


class AttentionStage(ProbeStage):
    """Shares of attention by kind of key (SFFL Figure 3; MAPO Figures 3-7; see/hear §4.1)."""

    probe = "attention"

    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]]:
        """One entry for each response."""
        entries = []
        for answered in self.answers(row, clip):
            reading = self.reading(answered)
            reader = Shares(reading.kinds)
            reading.logits(Plan(readers=[reader]))
            layers = sorted(reader.mean)
            # the row before a token is the query that predicts it
            rows = slice(reading.prompt - 1, -1)
            counts = reader.counts[0].clamp(min=1)[None, :, None]
            entries.append(
                answered.row()
                | {
                    "tokens": reading.tokens,
                    "kinds": reading.kinds[0, reading.prompt :].tolist(),
                    "layers": layers,
                    "mean": [reader.mean[i][0, rows].tolist() for i in layers],
                    "peak": [reader.peak[i][0, rows].tolist() for i in layers],
                    "heads": [(reader.heads[i][0] / counts).flatten(1).tolist() for i in layers],
                }
            )
        return entries
