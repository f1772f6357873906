"""Rewards by name, built in or from plug-ins, as weighted by recipes. Needs neither torch nor a trainer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from avcurate.train import rewards

if TYPE_CHECKING:
    from avcurate.train.recipe import TrainRecipe

Row = dict[str, Any]


class Reward(ABC):
    """One reward of a response. A plug-in registers its class under ``avcurate.rewards``.

    Attributes:
        about: what it rewards, for ``avcurate plugins``.
        judged: whether its values come from a model that may give none; how many are missing is then logged.
    """

    about: ClassVar[str] = ""
    judged: ClassVar[bool] = False

    def __init__(self, recipe: TrainRecipe) -> None:
        self.recipe = recipe

    def setup(self) -> None:  # noqa: B027
        """Load or reach what it needs, before training begins.

        Raises:
            UserError: it is not available.
        """

    def close(self) -> None:  # noqa: B027
        """Free what it holds."""

    @abstractmethod
    def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> list[float | None]:
        """A value for each text.

        Args:
            rows: for each text, the shard row that it answers: ``question``, ``choices``, ``answer``, ``pem``, …
            texts: responses, without special tokens.

        Returns:
            One finite value per text; ``None`` if there is none, which counts as 0.
        """


def _of_text(description: str, value: Callable[[Row, str], float]) -> type[Reward]:
    class OfText(Reward):
        about = description

        def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> list[float | None]:
            """A pure function of row and text."""
            return [value(row, text) for row, text in zip(rows, texts, strict=True)]

    return OfText


Accuracy = _of_text(
    "the answer is right (SFFL Eq. 8)", lambda r, t: rewards.answer_accuracy(t, r["answer"], r["choices"])
)
Preference = _of_text(
    "structure and PEM are right (SFFL Eq. 7)", lambda r, t: rewards.preference_and_structure(t, r["pem"])
)
PreferenceHalves = _of_text(
    "half for the structure, half for the PEM", lambda r, t: rewards.preference_and_structure(t, r["pem"], "halves")
)
Structure = _of_text("separate-then-fuse structure", lambda r, t: rewards.structure(t))
PemMatch = _of_text("the PEM is named", lambda r, t: rewards.pem_match(t, r["pem"]))
Format = _of_text("<think> and <answer>, each once (MAPO)", lambda r, t: rewards.think_format(t))

LOGGED = ("accuracy", "preference", "structure", "pem", "format")
"""Rewards that cost nothing, logged whether weighted or not."""
