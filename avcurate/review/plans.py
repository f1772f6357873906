"""Which items are reviewed, and in which order."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from avcurate.review.items import Item
from avcurate.seeds import derive_seed

Plan = Literal["random", "stratified", "lowest", "disagreements"]
Verdicts = Mapping[str, Mapping[str, Mapping[str, Any]]]


def planned(items: Sequence[Item], plan: Plan, limit: int, seed: int, verdicts: Verdicts) -> list[Item]:
    """Items in the order of a plan, at most ``limit`` (0: all).

    Args:
        items: all there are.
        plan: ``random``; ``stratified``: a random one of each stratum in turn, so that a few hundred say something of
            each; ``lowest``: the least confident first; ``disagreements``: those of which a reviewer's verdict is not
            the expected one, or not another reviewer's, most verdicts first.
        limit: how many; seed: of the order.
        verdicts: given so far, by reviewer and item.
    """
    shuffled = sorted(items, key=lambda i: derive_seed("review", seed, i.id))
    if plan == "stratified":
        strata: dict[str, list[Item]] = {}
        for item in shuffled:
            strata.setdefault(item.stratum, []).append(item)
        turns = itertools.zip_longest(*(strata[s] for s in sorted(strata)))
        shuffled = [i for turn in turns for i in turn if i is not None]
    elif plan == "lowest":
        shuffled.sort(key=lambda i: 1.0 if i.confidence is None else i.confidence)
    elif plan == "disagreements":
        given = {i.id: [held[i.id]["verdict"] for held in verdicts.values() if i.id in held] for i in shuffled}
        shuffled = [i for i in shuffled if given[i.id] and len({i.expected, *given[i.id]}) > 1]
        shuffled.sort(key=lambda i: -len(given[i.id]))
    return shuffled[:limit] if limit else shuffled
