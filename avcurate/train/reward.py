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
        columns: shard columns that it reads besides question, choices, answer and PEM.
        needs_pem: whether it means nothing for a question without a PEM.
    """

    about: ClassVar[str] = ""
    judged: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]] = ()
    needs_pem: ClassVar[bool] = False

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


def _of_text(description: str, value: Callable[[Row, str], float], pem: bool = False) -> type[Reward]:
    class OfText(Reward):
        about = description
        needs_pem = pem

        def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> list[float | None]:
            """A pure function of row and text."""
            return [value(row, text) for row, text in zip(rows, texts, strict=True)]

    return OfText


Accuracy = _of_text(
    "the answer is right (SFFL Eq. 8)", lambda r, t: rewards.answer_accuracy(t, r["answer"], r["choices"])
)
Preference = _of_text(
    "structure and PEM are right (SFFL Eq. 7)", lambda r, t: rewards.preference_and_structure(t, r["pem"]), True
)
PreferenceHalves = _of_text(
    "half for the structure, half for the PEM",
    lambda r, t: rewards.preference_and_structure(t, r["pem"], "halves"),
    True,
)
Structure = _of_text("separate-then-fuse structure", lambda r, t: rewards.structure(t))
PemMatch = _of_text("the PEM is named", lambda r, t: rewards.pem_match(t, r["pem"]), True)
Format = _of_text("<think> and <answer>, each once (MAPO)", lambda r, t: rewards.think_format(t))

Repetition = _of_text("minus the share of repeated runs of four words", lambda r, t: rewards.repetition(t))


class Length(Reward):
    """A penalty on long responses; ``options: {length: {words: 200, slack: 100}}`` in the recipe."""

    about = "minus how far a response is over a number of words (after DAPO)"

    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__(recipe)
        options = recipe.options.get("length", {})
        self._words, self._slack = int(options.get("words", 200)), int(options.get("slack", 100))

    def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> list[float | None]:
        """In [-1, 0]."""
        return [rewards.overlong(text, self._words, self._slack) for text in texts]


class BothBeatEither(Reward):
    """The right answer, weighted by how far either modality alone is from it, as label-pem measured."""

    about = "right where neither modality alone is (after OmniVideo-R1)"
    columns = ("a_k", "a_asked", "v_k", "v_asked")

    def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> list[float | None]:
        """In [0, 1]."""
        return [
            rewards.both_beat_either(t, r["answer"], r["choices"], max(_rate(r, "a"), _rate(r, "v")))
            for r, t in zip(rows, texts, strict=True)
        ]


def _rate(row: Row, setting: str) -> float:
    asked = row.get(f"{setting}_asked") or 0
    return row[f"{setting}_k"] / asked if asked else 0.0


LOGGED = ("accuracy", "preference", "structure", "pem", "format")
"""Rewards that cost nothing, logged whether weighted or not."""
