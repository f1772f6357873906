"""Algorithms by name: an objective over completions that the model has written, or a trainer of another kind.

Knows no torch by itself: names are listed, and recipes read, where none is installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from avcurate.train.parts import Parts
    from avcurate.train.recipe import TrainRecipe

Modality = Literal["audio", "video", "both"]


@dataclass(frozen=True)
class Completions:
    """A micro-batch of B completions of at most T tokens, as the model reads them now.

    Attributes:
        ids: int64 (B, T), padded on the right.
        mask: float (B, T), 1 on tokens.
        logp: float (B, T) log-probabilities of the tokens at the recipe's temperature, with gradient.
        old: float (B, T) those under which they were drawn, without.
        logits: float (B, T, V), with gradient.
        mass: float (B, T) attention on the watched modality's tokens in [0, 1], with gradient.
        advantages: float (B,) of :meth:`Algorithm.advantages`.
        accuracy: float (B,) the accuracy reward.
        gate: float (B, T) of :meth:`Algorithm.gate`.
        kl: scalar, the KL term to the reference; 0 where the recipe's ``beta`` is.
        entropy_without: gives float (B, T), the reference's next-token entropy where a modality's tokens are taken out.
        record: logs the mean of a tensor under a name.
    """

    ids: Tensor
    mask: Tensor
    logp: Tensor
    old: Tensor
    logits: Tensor
    mass: Tensor
    advantages: Tensor
    accuracy: Tensor
    gate: Tensor
    kl: Tensor
    entropy_without: Callable[[Modality], Tensor]
    record: Callable[[str, Tensor], None]


class Algorithm(ABC):
    """One way to train. A plug-in registers its class under ``avcurate.algorithms``.

    Attributes:
        about: what it is, for ``avcurate plugins``.
        columns: columns of the shards that it reads beside the questions.
        reads_reference: whether :meth:`loss` asks for ``entropy_without``.
        rolls_out: whether the model writes completions that are rewarded.
    """

    about: ClassVar[str] = ""
    columns: ClassVar[tuple[str, ...]] = ()
    reads_reference: ClassVar[bool] = False
    rolls_out: ClassVar[bool] = True

    def __init__(self, recipe: TrainRecipe) -> None:
        self.recipe = recipe

    def advantages(self, rewards: Tensor) -> Tensor:
        """(B,) from rewards (B,), completions of a question next to each other."""
        from avcurate.train.core.objective import group_advantages

        return group_advantages(rewards, self.recipe.group)

    def gate(
        self, written: list[list[int]], decode: Callable[[Sequence[int]], str], record: Callable[[str, Tensor], None]
    ) -> list[list[float]] | None:
        """Which tokens of each completion a part of the objective looks at; ``None``: all."""
        return None

    @abstractmethod
    def loss(self, batch: Completions) -> Tensor:
        """The objective, a scalar with gradient, the KL term in it."""

    def make_trainer(self, parts: Parts) -> Any | None:
        """A Trainer of transformers of its own; ``None``: the one that rolls out, rewards and minimises :meth:`loss`.

        Raises:
            UserError: sizes of the recipe that do not go together.
        """
        return None
