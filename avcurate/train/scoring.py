"""The reward of a step's rollouts: its parts, and their weighted sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from avcurate.errors import UserError
from avcurate.prompts import get_prompt
from avcurate.train.names import REWARDS
from avcurate.train.recipe import TrainRecipe
from avcurate.train.reward import LOGGED


@dataclass(frozen=True)
class Scored:
    """Rewards of rollouts, in their order; ``parts`` by name, of equal lengths.

    ``unread`` counts, for each judged reward, rollouts without a verdict: they get 0 for that part.
    """

    total: list[float]
    parts: dict[str, list[float]]
    unread: dict[str, int] = field(default_factory=dict)


class Scorer:
    """Scores rollouts with a recipe's rewards.

    Raises:
        UserError: the recipe weights an unknown reward, or one lacks what it needs.
    """

    def __init__(self, recipe: TrainRecipe) -> None:
        self.weights = {name: weight for name, weight in recipe.rewards.items() if weight}
        self._prompt = get_prompt(recipe.prompt)
        names = dict.fromkeys([*LOGGED, *self.weights])
        self.rewards = {name: REWARDS.get(name)(recipe) for name in names}

    def setup(self) -> None:
        """Load or reach judges.

        Raises:
            UserError: one is not available.
        """
        for reward in self.rewards.values():
            reward.setup()

    def close(self) -> None:
        """Free what they hold."""
        for reward in self.rewards.values():
            reward.close()

    def __call__(self, rows: Sequence[dict[str, Any]], texts: Sequence[str]) -> Scored:
        """Rewards of each text, which answers the row at the same index.

        Raises:
            UserError: a judge cannot be reached, or a reward does not give one value per text; the run stops and can be
                resumed.
        """
        texts = [self._prompt.read(text) for text in texts]
        parts: dict[str, list[float]] = {}
        unread: dict[str, int] = {}
        for name, reward in self.rewards.items():
            values = reward(rows, texts)
            if len(values) != len(texts) or not all(v is None or math.isfinite(v) for v in values):
                raise UserError(
                    f"the reward {name!r} gave {len(values)} values for {len(texts)} responses, or not all finite.",
                    "It must return one finite number, or None, for each.",
                )
            parts[name] = [0.0 if v is None else float(v) for v in values]
            if reward.judged:
                unread[name] = sum(v is None for v in values)
        total = [sum(w * parts[name][i] for name, w in self.weights.items()) for i in range(len(texts))]
        return Scored(total, parts, unread)
