"""``probe shift``: how far a response's tokens have moved from a base model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from avcurate.media.decode import DecodedClip
from avcurate.runner.stage import Row
from avcurate.tasks.probe.bases import base_of
from avcurate.tasks.probe.speech import Speech
from avcurate.tasks.probe.stage import ProbeStage


class ShiftStage(ProbeStage):
    """KL(model || base) and the base's rank of each token (see/hear §4.4)."""

    probe = "shift"

    def __init__(self, *arguments: Any, base: str, dtype: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.base, self.speech = base_of(base, dtype), Speech()

    def depends(self) -> dict[str, Any]:
        """The base."""
        return {"base": self.base.identity(), **self.speech.identity()}

    def setup(self) -> None:
        """Load both."""
        super().setup()
        self.base.setup()

    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]]:
        """One entry for each response."""
        entries = []
        for answered in self.answers(row, clip):
            reading = self.reading(answered)
            kl, rank = shift_of(reading.logits(), self.base.logits(reading), reading.ids[0])
            speech = self.speech.of(answered.ids, self.model.decode)
            found = {"tokens": reading.tokens, "kl": kl.tolist(), "rank": rank.tolist(), "speech": speech}
            entries.append(answered.row() | found)
        return entries

    def close(self) -> None:
        """Free both."""
        super().close()
        self.base.close()


def shift_of(ours: Tensor, base: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """How far each token has moved.

    Args:
        ours, base: logits (T, V) and (T, V'), compared over the vocabulary they share, the first min(V, V') ids.
        ids: int64 (T,), the tokens.

    Returns:
        KL(ours || base) in nats, (T,), and the rank of each token under the base, from 1.
    """
    shared = min(ours.shape[-1], base.shape[-1])
    p, q = (x[:, :shared].double().log_softmax(-1) for x in (ours, base))
    kl = (p.exp() * (p - q)).nan_to_num().sum(-1).clamp(min=0.0)
    rank = (q > q.gather(-1, ids[:, None])).sum(-1) + 1
    return kl.float(), rank
