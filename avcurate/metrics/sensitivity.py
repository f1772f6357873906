"""Whether answers change where the evidence changes and stay where it stays: one number from pairs of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.metrics.statistics import mean_interval, wilson


@dataclass(frozen=True)
class PairAnswers:
    """Answers to one question on a twin and on its counterfactual.

    Attributes:
        changes: whether the right answer differs.
        twin, counterfactual: the answers; ``None`` where one cannot be read.
        right: whether both are right.
    """

    changes: bool
    twin: str | None
    counterfactual: str | None
    right: bool

    @property
    def changed(self) -> bool:
        """Whether the answer differs; one that cannot be read differs from none."""
        return None not in (self.twin, self.counterfactual) and self.twin != self.counterfactual


def sensitivity(pairs: Sequence[PairAnswers]) -> dict[str, Any]:
    """How much more often answers change where they should than where they should not.

    1 for a model that changes its answer exactly where the truth changes; 0 for one that always says the same, or
    changes it regardless of the evidence. The interval combines the bootstrap intervals of the two independent rates.

    Returns:
        ``{"pairs", "changed_where_it_should": {"n", "rate", "interval"}, "changed_where_it_should_not": …,
        "both_right": …, "sensitivity", "interval"}``; rates are ``None`` without pairs of the kind.
    """
    should = np.array([p.changed for p in pairs if p.changes], np.float64)
    should_not = np.array([p.changed for p in pairs if not p.changes], np.float64)
    result: dict[str, Any] = {
        "pairs": len(pairs),
        "changed_where_it_should": _rate(should),
        "changed_where_it_should_not": _rate(should_not),
        "both_right": _rate(np.array([p.right for p in pairs], np.float64)),
        "sensitivity": None,
        "interval": None,
    }
    if len(should) and len(should_not):
        (low, high), (low_not, high_not) = mean_interval(should), mean_interval(should_not)
        middle, middle_not = float(should.mean()), float(should_not.mean())
        difference = middle - middle_not
        down = float(np.hypot(middle - low, high_not - middle_not))
        up = float(np.hypot(high - middle, middle_not - low_not))
        result |= {"sensitivity": difference, "interval": [difference - down, difference + up]}
    return result


def _rate(values: NDArray[np.float64]) -> dict[str, Any]:
    n = len(values)
    if not n:
        return {"n": 0, "rate": None, "interval": None}
    return {"n": n, "rate": float(values.mean()), "interval": list(wilson(int(values.sum()), n))}
