"""Rewards by name: what recipes weigh, ours and those of plug-ins. Needs neither torch nor a trainer."""

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
        judged: whether its values come from a model that may say none; how many did not is then logged.
    """

    about: ClassVar[str] = ""
    judged: ClassVar[bool] = False

    def __init__(self, recipe: TrainRecipe) -> None:
        self.recipe = recipe

    def setup(self) -> None:  # noqa: B027
        """Load or reach what it needs, before training begins.

        Raises:
            UserError: it cannot be had.
        """

    def close(self) -> None:  # noqa: B027
        """Free it."""

    @abstractmethod
    def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> list[float | None]:
        """A value for each text.

        Args:
            rows: for each text the shard's row that it answers: ``question``, ``choices``, ``answer``, ``pem``, …
            texts: responses, special tokens left out.

        Returns:
            One finite value a text; ``None`` where none could be had, which counts as 0.
        """


def _of_text(says: str, value: Callable[[Row, str], float]) -> type[Reward]:
    class OfText(Reward):
        about = says

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
"""Rewards that cost nothing, and are logged whether they are weighed or not."""
