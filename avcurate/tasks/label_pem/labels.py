"""Labels from stored counts and similarities, whole tables at a time and without a model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from avcurate.metrics.calibration import Prior, RatePrior, SpreadPrior
from avcurate.metrics.pem import UNSURE, label
from avcurate.metrics.solvability import needed
from avcurate.runner.stage import TableStage
from avcurate.schema import BLIND_LABEL, LABEL, Setting, columns_schema
from avcurate.store.parts import Parts

_UNKNOWN = 2


@dataclass(frozen=True)
class Thresholds:
    """What counts as solved: correctness at least ``tau_acc`` and consistency at least ``tau_cot``.

    A label of which another sample would agree with probability below ``min_confidence`` is discarded as unsure.
    """

    tau_acc: float = 0.75
    tau_cot: float = 0.8
    min_confidence: float = 0.0


def solved(
    k: NDArray[np.int64],
    asked: NDArray[np.int64],
    n: NDArray[np.int64],
    consistency: NDArray[np.float64],
    thresholds: Thresholds,
) -> NDArray[np.int8]:
    """Whether one setting solves each question: 1 yes, 0 no, 2 undecided by the stored responses.

    A question is unsolved if either criterion fails. A setting that was stopped early is 0 if
    it could no longer reach the threshold, and 2 if it still could.
    """
    sizes = np.unique(n)
    required = np.zeros_like(n)
    for size in sizes:
        required[n == size] = needed(thresholds.tau_acc, int(size))
    reachable = k + np.maximum(n - asked, 0) >= required
    # a single response has no pairs: with n = 1 there is nothing to disagree with
    consistent = np.where(np.isnan(consistency), n == 1, consistency >= thresholds.tau_cot)
    asked_in_full = asked >= n
    return np.where(
        ~reachable, 0, np.where(asked_in_full, (consistent & (k >= required)).astype(np.int8), _UNKNOWN)
    ).astype(np.int8)


Priors = dict[Setting, Prior]
COLUMNS = ["n", *[f"{s}_{c}" for s in Setting for c in ("k", "asked", "consistency", "consistency_se")]]
"""Columns that labels are made of; runs scored by older versions lack the errors."""


def fit_priors(table: pa.Table, thresholds: Thresholds) -> Priors:
    """What a run's questions say of each setting: the prior under which one question's responses are read."""
    priors = {}
    for s in Setting:
        consistency, error = _floats(table, f"{s}_consistency"), _floats(table, f"{s}_consistency_se")
        rate = RatePrior.fit(_ints(table, f"{s}_k"), _ints(table, f"{s}_asked"))
        priors[s] = Prior(rate, SpreadPrior.fit(consistency, error, thresholds.tau_cot))
    return priors


def label_table(table: pa.Table, thresholds: Thresholds, priors: Priors | None = None) -> pa.Table:
    """A scored table with the columns of ``schema.LABEL`` added or replaced.

    Args:
        table: at least ``n`` and, per setting, ``k``, ``asked`` and ``consistency``.
        thresholds: what counts as solved.
        priors: of the whole run; by default fitted to the table.

    Returns:
        The same rows in the same order; each has a PEM or the reason it has none.
    """
    n = _ints(table, "n")
    priors = priors or fit_priors(table, thresholds)
    states, p_reach, p_solved = {}, {}, {}
    for s in Setting:
        k, asked = _ints(table, f"{s}_k"), _ints(table, f"{s}_asked")
        consistency = _floats(table, f"{s}_consistency")
        states[s] = solved(k, asked, n, consistency, thresholds)
        p_reach[s] = _reach(priors[s].rate, k, asked, n, thresholds.tau_acc)
        passes = priors[s].spread.passes(consistency, _floats(table, f"{s}_consistency_se"), thresholds.tau_cot)
        # without texts to compare: one response agrees with itself; of an early stop only other questions tell
        lacking = np.where(asked < n, priors[s].spread.passing, (n == 1).astype(float))
        p_solved[s] = p_reach[s] * np.where(np.isnan(consistency), lacking, passes)
    added: dict[str, Any] = {}
    for s in Setting:
        added[f"{s}_solved"] = pa.array(states[s] == 1, mask=states[s] == _UNKNOWN)
    for s in Setting:
        added[f"{s}_p_solvable"] = pa.array(p_reach[s])
    pem, reason = _pems(states)
    confidence = np.ones(len(n))
    for s in Setting:
        confidence *= np.where(states[s] == 1, p_solved[s], 1 - p_solved[s])
    for i in np.flatnonzero(confidence < thresholds.min_confidence):
        if pem[i] is not None:
            pem[i], reason[i] = None, UNSURE
    unlabelled = np.array([p is None for p in pem], bool)
    added["pem"] = pa.array(pem, pa.string())
    added["discard_reason"] = pa.array(reason, pa.string())
    added["confidence"] = pa.array(confidence, mask=unlabelled)
    added["tau_acc"] = pa.array(np.full(len(n), thresholds.tau_acc))
    added["tau_cot"] = pa.array(np.full(len(n), thresholds.tau_cot))
    columns = LABEL
    if "blind_k" in table.column_names:
        columns += BLIND_LABEL
        added["solved_blind"] = _solved_blind(table, n, thresholds.tau_acc)
    for column in columns:
        value = added[column.name]
        if column.name in table.column_names:
            table = table.set_column(table.column_names.index(column.name), column.field(), value)
        else:
            table = table.append_column(column.field(), value)
    return table


def _solved_blind(table: pa.Table, n: NDArray[np.int64], tau_acc: float) -> pa.Array:
    """Whether correctness without the clip reaches the threshold; null where that was not asked far enough."""
    k, asked = _ints(table, "blind_k"), _ints(table, "blind_asked")
    required = np.zeros_like(n)
    for size in np.unique(n):
        required[n == size] = needed(tau_acc, int(size))
    solved, reachable = k >= required, k + np.maximum(n - asked, 0) >= required
    return pa.array(solved, mask=~solved & reachable & (asked < n))


def _ints(table: pa.Table, name: str) -> NDArray[np.int64]:
    return np.asarray(table.column(name).to_numpy(), np.int64)


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table.column(name).to_numpy(), np.float64)


def _reach(
    prior: RatePrior, k: NDArray[np.int64], asked: NDArray[np.int64], n: NDArray[np.int64], tau_acc: float
) -> NDArray[np.float64]:
    values = np.zeros(len(n))
    for size in np.unique(n):
        pairs, inverse = np.unique(np.stack([k, asked], 1)[n == size], axis=0, return_inverse=True)
        values[n == size] = prior.reach(pairs[:, 0], pairs[:, 1], int(size), tau_acc)[inverse.reshape(-1)]
    return values


def _pems(states: dict[Setting, NDArray[np.int8]]) -> tuple[list[str | None], list[str | None]]:
    code = states[Setting.A].astype(int) * 9 + states[Setting.V] * 3 + states[Setting.AV]
    solved_states = (False, True, None)
    outcomes = [label(a, v, av) for a, v, av in product(solved_states, repeat=3)]
    pem: list[str | None] = [None if p is None else str(p) for p, _ in outcomes]
    return [pem[c] for c in code], [outcomes[c][1] for c in code]


class LabelStage(TableStage):
    """Columns added: ``schema.LABEL``, and ``schema.BLIND_LABEL`` for runs with a blind condition.

    Applying other thresholds takes seconds and samples nothing.
    """

    name = "label"
    version = 2

    def __init__(self, thresholds: Thresholds, *, blind: bool = False) -> None:
        self.thresholds = thresholds
        self.adds = columns_schema("label", LABEL + (BLIND_LABEL if blind else ()))
        self._priors: Priors | None = None

    def identity(self) -> dict[str, Any]:
        """The thresholds."""
        least = {"min_confidence": self.thresholds.min_confidence} if self.thresholds.min_confidence else {}
        return {"tau_acc": self.thresholds.tau_acc, "tau_cot": self.thresholds.tau_cot, **least}

    def prepare(self, upstream: Parts) -> None:
        """Fit the priors to all scored rows."""
        columns = [c for c in COLUMNS if c in upstream.columns()]
        tables = list(upstream.rows(columns=columns))
        self._priors = fit_priors(pa.concat_tables(tables), self.thresholds) if tables else None

    def fingerprint(self) -> str:
        """Of the thresholds and the priors: rows that are added change what the others' responses say."""
        priors = {str(s): p.digest for s, p in (self._priors or {}).items()}
        body = json.dumps([super().fingerprint(), priors], sort_keys=True)
        return hashlib.sha256(body.encode()).hexdigest()[:16]

    def table(self, rows: pa.Table) -> pa.Table:
        """A PEM, or the reason for none, for each row."""
        return label_table(rows, self.thresholds, self._priors).select(self.adds.names).cast(self.adds)

    def counts(self, added: pa.Table) -> dict[str, float]:
        """Rows per PEM and per reason."""
        counts: dict[str, float] = {}
        for name in ("pem", "discard_reason"):
            for entry in added.column(name).drop_null().value_counts():
                counts[entry["values"].as_py()] = entry["counts"].as_py()
        return counts
