"""One-to-one assignment of minimum cost: exact for small sets, in blocks of bounded memory for large ones.

Works on cost matrices, not on captions or clips.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Cost = Callable[[Indices, Indices], NDArray[np.float64]]
Tick = Callable[[int], None]
NONE = -1


def assign(cost: Cost, members: Indices, *, block: int, rounds: int, seed: int, tick: Tick = lambda n: None) -> Indices:
    """A donor for each member, each donor used at most once.

    Up to ``block`` members are solved exactly. Larger sets are dealt into random blocks, each solved exactly; in every
    further round members are dealt again with their current donors (and the free ones) and solved again, so that no
    round leaves fewer pairs than the last, nor as many at a higher cost.

    Args:
        cost: (targets (n,), donors (m,)) to float64 (n, m), at least 0; inf where a donor is refused.
        members: int64 (N,), both targets and donors.
        block: members per block; memory grows with its square.
        rounds: how often a large set is dealt; at least 1.
        seed: of the dealing.
        tick: called after each block with its number of members.

    Returns:
        int64 (N,): the donor of each member, as in ``members``; ``NONE`` where none is left.
    """
    if len(members) <= block:
        assigned = members_or_none(cost(members, members), members)
        tick(len(members))
        return assigned
    rng = np.random.default_rng(seed)
    donor_of = np.full(len(members), NONE, np.int64)
    for deal in range(rounds):
        order = rng.permutation(len(members))
        count = -(-len(members) // block)
        taken = set(donor_of[donor_of != NONE].tolist())
        free = rng.permutation(np.array([m for m in members.tolist() if m not in taken], np.int64))
        for targets, spare in zip(np.array_split(order, count), np.array_split(free, count), strict=True):
            held = donor_of[targets]
            donors = members[targets] if deal == 0 else np.concatenate([held[held != NONE], spare])
            assigned = members_or_none(cost(members[targets], donors), donors)
            donor_of[targets] = assigned
            tick(len(targets))
    return donor_of


def members_or_none(costs: NDArray[np.float64], donors: Indices) -> Indices:
    """The exact assignment of one block: most pairs first, then minimum cost."""
    from scipy.optimize import linear_sum_assignment

    if not costs.size:
        return np.full(len(costs), NONE, np.int64)
    allowed = np.isfinite(costs)
    # more than any whole assignment costs, so that a refused pair is taken only if no other is left
    penalty = 1.0 + float(np.where(allowed, costs, 0.0).max(1).sum())
    rows, columns = linear_sum_assignment(np.where(allowed, costs, penalty))
    donor_of = np.full(len(costs), NONE, np.int64)
    accepted = allowed[rows, columns]
    donor_of[rows[accepted]] = donors[columns[accepted]]
    return donor_of
