"""How much of the requested span could be decoded, per track. Damage is never reported as absence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avcurate.errors import MediaError


@dataclass(frozen=True)
class Track:
    """One track of a clip, or of the requested part of it.

    Attributes:
        name: ``picture`` or ``sound``.
        expected: seconds that the container promises for it; ``None`` where it gives no length.
        decoded: seconds that were decoded.
        units: frames or samples that were decoded.
        slack: seconds that an undamaged track may lack: codecs round, and the frame rate filter drops.
        destroyed: share of its packets that yielded nothing, in [0, 1].
    """

    name: str
    expected: float | None
    decoded: float
    units: int
    slack: float
    destroyed: float = 0.0

    @property
    def missing(self) -> float:
        """Share that could not be decoded, in [0, 1]."""
        if self.expected is None:
            return max(self.destroyed, float(self.decoded == 0))
        if self.decoded == 0 and self.expected > self.slack:
            return 1.0
        lacks = max(0.0, self.expected - self.decoded - self.slack) / max(self.expected, 1e-9)
        return max(lacks, self.destroyed)


def refuse_damage(path: Path, tracks: Sequence[Track], max_shortfall: float, *, keep_damaged: bool) -> None:
    """Refuse a clip that lacks too much of a track.

    Raises:
        MediaError: ``media_damaged``.
    """
    for track in tracks:
        if track.missing > max_shortfall and not (keep_damaged and track.decoded):
            promised = track.decoded if track.expected is None else track.expected
            decodable = min(track.decoded, promised * (1 - track.destroyed))
            raise MediaError(
                "media_damaged",
                f"{path}: only {decodable:.1f} s of {promised:.1f} s of {track.name} can be decoded.",
                "Fetch the clip again, or allow it with media.max_shortfall or media.keep_damaged in the recipe.",
            )
