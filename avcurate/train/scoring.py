"""The reward of a step's rollouts: its parts, and their weighted sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from avcurate.errors import UserError
from avcurate.train.consistency import ConsistencyJudge
from avcurate.train.recipe import TrainRecipe
from avcurate.train.rewards import answer_accuracy, pem_match, preference_and_structure, structure, think_format


@dataclass(frozen=True)
class Scored:
    """Rewards of rollouts, in their order; ``parts`` by name, of equal lengths, values in [0, 1].

    ``unread`` are rollouts whose consistency the judge did not say: they get 0 for that part, and are counted.
    """

    total: list[float]
    parts: dict[str, list[float]]
    unread: int = 0


class Scorer:
    """Scores rollouts as a recipe says.

    Args:
        recipe: weights and forms.
        judge: for the consistency reward.

    Raises:
        UserError: the recipe weighs consistency and there is no judge.
    """

    def __init__(self, recipe: TrainRecipe, judge: ConsistencyJudge | None = None) -> None:
        if recipe.consistency_weight and judge is None:
            raise UserError(
                f"recipe {recipe.name!r} rewards consistency, which a judge has to tell.",
                "Give --judge-url http://host:8000/v1, or set consistency_weight to 0 in the recipe.",
            )
        self.recipe, self.judge = recipe, judge

    def __call__(self, rows: Sequence[dict[str, Any]], texts: Sequence[str]) -> Scored:
        """Rewards of each text, which answers the row of the same place.

        Raises:
            UserError: the judge cannot be reached; the run stops and can be resumed.
        """
        recipe = self.recipe
        pairs = list(zip(rows, texts, strict=True))
        parts = {
            "accuracy": [answer_accuracy(t, r["answer"], r["choices"]) for r, t in pairs],
            "preference": [preference_and_structure(t, r["pem"], recipe.preference_form) for r, t in pairs],
            "structure": [structure(t) for _, t in pairs],
            "pem": [pem_match(t, r["pem"]) for r, t in pairs],
            "format": [think_format(t) for _, t in pairs],
        }
        weights = {
            "accuracy": recipe.accuracy_weight,
            "preference": recipe.preference_weight,
            "format": recipe.format_weight,
        }
        unread = 0
        if self.judge is not None and recipe.consistency_weight:
            said = self.judge([r["question"] for r in rows], texts)
            unread = sum(s is None for s in said)
            parts["consistency"] = [s or 0.0 for s in said]
            weights["consistency"] = recipe.consistency_weight
        total = [sum(w * parts[name][i] for name, w in weights.items() if w) for i in range(len(pairs))]
        return Scored(total, parts, unread)
