"""How much a caption invents: CHAIR, and precision, recall and F1 of the objects it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avcurate.metrics.statistics import ratio_intervals
from avcurate.metrics.vocabulary import Mention, Vocabulary

MEASURES = ("chair_i", "chair_s", "precision", "recall", "f1")


@dataclass(frozen=True)
class CaptionScore:
    """What one caption names, against what is present.

    Attributes:
        mentions: objects named, in order.
        invented: for each mention, whether the object is not present.
        right: distinct true objects named; found: those of the truth that are named.
        named: distinct objects named; truth: distinct objects that are present.
    """

    mentions: tuple[Mention, ...]
    invented: tuple[bool, ...]
    right: int
    found: int
    named: int
    truth: int

    def counts(self) -> tuple[int, ...]:
        """mentions, invented mentions, has an invented one, right, found, named, truth."""
        bad = sum(self.invented)
        return len(self.mentions), bad, int(bad > 0), self.right, self.found, self.named, self.truth


def score_caption(caption: str, truth: frozenset[str], vocabulary: Vocabulary) -> CaptionScore:
    """One caption against the nodes that are present.

    An object is present if its node is, or a node that is a kind of it: "bird" is right for a parrot,
    "parrot" is not right for a bird. No COCO class is a kind of another, so on COCO this is plain CHAIR.
    """
    mentions = tuple(vocabulary.mentions(caption))
    invented = tuple(not vocabulary.supported(m.node, truth) for m in mentions)
    named = {m.node for m in mentions}
    right = {n for n in named if vocabulary.supported(n, truth)}
    found = {t for t in truth if t in named or any(vocabulary.is_a(t, n) for n in named)}
    return CaptionScore(mentions, invented, len(right), len(found), len(named), len(truth))


def measures(counts: NDArray[np.int64]) -> dict[str, float]:
    """CHAIR and F1 over captions.

    Args:
        counts: int (N, 7), rows of :meth:`CaptionScore.counts`.

    Returns:
        ``chair_i`` = invented mentions / mentions; ``chair_s`` = captions with an invented object / captions;
        ``precision`` and ``recall`` over distinct objects, summed over captions (micro), and their ``f1``, 0 where
        both are 0. Precision counts types and CHAIR-i mentions, so one is not the complement of the other. NaN
        where there is nothing to divide by.
    """
    return {k: float(v[0]) for k, v in _ratios(counts.sum(0)[None], len(counts)).items()}


def _ratios(sums: NDArray[np.int64], captions: int) -> dict[str, NDArray[np.float64]]:
    mentions, invented, flagged, right, found, named, truth = sums.T.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = right / named, found / truth
        return {
            "chair_i": invented / mentions,
            "chair_s": flagged / captions if captions else np.full(len(sums), np.nan),
            "precision": precision,
            "recall": recall,
            "f1": np.where(precision + recall == 0, 0.0, 2 * precision * recall / (precision + recall)),
        }


def intervals(counts: NDArray[np.int64], *, draws: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of :func:`measures`, captions drawn with replacement, seeded."""
    if not len(counts):
        return dict.fromkeys(MEASURES, (float("nan"), float("nan")))
    return ratio_intervals(counts, lambda sums: _ratios(sums, len(counts)), draws=draws, seed=seed)


def as_counts(scores: Sequence[CaptionScore]) -> NDArray[np.int64]:
    """int (N, 7) from scores."""
    return np.array([s.counts() for s in scores], np.int64).reshape(-1, 7)
