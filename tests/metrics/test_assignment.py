"""The assignment against all permutations, and blocks against the whole."""

import itertools

import numpy as np
import pytest

from avcurate.metrics.assignment import NONE, assign


def costs(n, seed, refused=0.2):
    rng = np.random.default_rng(seed)
    matrix = rng.random((n, n)) * 2
    matrix[rng.random((n, n)) < refused] = np.inf
    np.fill_diagonal(matrix, np.inf)
    return matrix


@pytest.mark.parametrize("seed", range(8))
def test_small_sets_are_solved_exactly(seed):
    matrix = costs(6, seed, 0.45)
    donors = assign(lambda t, d: matrix[np.ix_(t, d)], np.arange(6), block=10, rounds=3, seed=0)
    pairs = [(t, d) for t, d in enumerate(donors) if d != NONE]
    assert len({d for _, d in pairs}) == len(pairs) and all(np.isfinite(matrix[p]) for p in pairs)
    # of all ways: most pairs, then minimum cost
    ways = ([matrix[t, d] for t, d in enumerate(way)] for way in itertools.permutations(range(6)))
    best = min((-sum(map(np.isfinite, way)), sum(c for c in way if np.isfinite(c))) for way in ways)
    assert (-len(pairs), sum(matrix[p] for p in pairs)) == (best[0], pytest.approx(best[1]))


def test_blocks_come_near_the_whole_and_rounds_never_hurt():
    matrix = costs(300, 1)
    cost = lambda t, d: matrix[np.ix_(t, d)]  # noqa: E731
    members = np.arange(300)
    exact = assign(cost, members, block=300, rounds=1, seed=0)
    totals = []
    for rounds in (1, 2, 4, 8):
        donors = assign(cost, members, block=64, rounds=rounds, seed=3)
        assert sorted(donors.tolist()) == sorted(set(donors.tolist())) and (donors != NONE).all()
        totals.append(matrix[members, donors].sum())
    assert totals == sorted(totals, reverse=True)
    assert matrix[members, exact].sum() <= totals[-1] < totals[0]
    again = assign(cost, members, block=64, rounds=8, seed=3)
    assert (again == donors).all()
    assert (assign(cost, members, block=64, rounds=8, seed=4) != donors).any()


def test_free_donors_come_back_into_play():
    # 0 and 1 fit only each other; in blocks of two they rarely meet at once
    matrix = np.full((8, 8), np.inf)
    for t, d in ((0, 1), (1, 0), (2, 3), (3, 2), (4, 5), (5, 4), (6, 7), (7, 6)):
        matrix[t, d] = 0.5
    donors = assign(lambda t, d: matrix[np.ix_(t, d)], np.arange(8), block=4, rounds=60, seed=0)
    assert donors.tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
