"""Which modality an answer follows where sound and picture suggest different ones (MSR, arXiv 2604.16902)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from avcurate.metrics.statistics import wilson

FOLLOWS = ("sound", "picture", "neither")


def followed(answer: str | None, by_sound: str | None, by_picture: str | None) -> str | None:
    """``sound``, ``picture`` or ``neither``; ``None`` where the two do not suggest different answers.

    An answer that cannot be read follows neither.
    """
    if by_sound is None or by_picture is None or by_sound == by_picture:
        return None
    if answer == by_sound:
        return "sound"
    return "picture" if answer == by_picture else "neither"


def selection_rates(follows: Iterable[str | None]) -> dict[str, Any]:
    """Share of conflicting answers that follow each modality, with Wilson's 95 % interval.

    Returns:
        ``{"n": answers to conflicting items, "sound": {"rate", "interval"}, "picture": …, "neither": …}``
    """
    counted = [f for f in follows if f is not None]
    rates: dict[str, Any] = {"n": len(counted)}
    for way in FOLLOWS:
        k = counted.count(way)
        rates[way] = {
            "rate": k / len(counted) if counted else None,
            "interval": list(wilson(k, len(counted))) if counted else None,
        }
    return rates
