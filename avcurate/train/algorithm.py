"""Algorithms by name: an objective over sampled completions, or a different kind of trainer.

Does not import torch, so names can be listed and recipes read where it is not installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from avcurate.families.tokens import Modality

if TYPE_CHECKING:
    from torch import Tensor

    from avcurate.train.parts import Parts
    from avcurate.train.recipe import TrainRecipe


class EntropyWithout(Protocol):
    """The reference's entropies (B, T) after prompts without a modality, at a temperature."""

    def __call__(self, modality: Modality, temperature: float = 1.0) -> Tensor:
        """In nats, without gradient."""


@dataclass(frozen=True)
class Completions:
    """A micro-batch of B completions of at most T tokens, under the current policy.

    Attributes:
        ids: int64 (B, T), right-padded.
        mask: float (B, T), 1 on tokens.
        logp: float (B, T) log-probabilities of the tokens at the recipe's temperature, with gradient.
        old: float (B, T) log-probabilities before the first update on them, without gradient.
        importance: float (B, T) truncated weights of tokens that another engine sampled (its kernels give them other
            probabilities than ``old``); ones where the policy sampled them itself.
        logits: float (B, T, V), with gradient.
        mass: float (B, T) attention mass on the watched modality's tokens in [0, 1], with gradient.
        advantages: float (B,), from :meth:`Algorithm.advantages`.
        accuracy: float (B,) the accuracy reward.
        gate: float (B, T), from :meth:`Algorithm.gate`.
        mean_length: tokens per completion, over all completions of a step's rollouts, of every process.
        kl: scalar KL term against the reference; 0 if the recipe's ``beta`` is 0.
        entropy_without: the reference's next-token entropy with a modality's tokens removed.
        record: logs the mean of a tensor under a name.
    """

    ids: Tensor
    mask: Tensor
    logp: Tensor
    old: Tensor
    importance: Tensor
    logits: Tensor
    mass: Tensor
    advantages: Tensor
    accuracy: Tensor
    gate: Tensor
    mean_length: float
    kl: Tensor
    entropy_without: EntropyWithout
    record: Callable[[str, Tensor], None]


class Algorithm(ABC):
    """One way to train. A plug-in registers its class under ``avcurate.algorithms``.

    Attributes:
        about: a short description, for ``avcurate plugins``.
        columns: shard columns that it reads besides the questions.
        reads_reference: whether :meth:`loss` calls ``entropy_without``.
        rolls_out: whether the model samples completions that are rewarded.
        clips: ε below and above 1 of the clipped ratio, where the recipe names none.
    """

    about: ClassVar[str] = ""
    columns: tuple[str, ...] = ()
    reads_reference: ClassVar[bool] = False
    rolls_out: ClassVar[bool] = True
    clips: ClassVar[tuple[float, float]] = (0.2, 0.2)

    def __init__(self, recipe: TrainRecipe) -> None:
        self.recipe = recipe
        own_low, own_high = self.clips
        low = own_low if recipe.clip is None else recipe.clip
        high = recipe.clip_high if recipe.clip_high is not None else own_high if recipe.clip is None else recipe.clip
        self.clip = (low, high)

    def surrogate(self, batch: Completions) -> Tensor:
        """The clipped surrogate of each token, (B, T), times its importance; logs the share that is clipped."""
        from avcurate.train.core.objective import clipped_share, clipped_surrogate

        low, high = self.clip
        ratio = (batch.logp - batch.old).exp()
        batch.record("clip/share", clipped_share(ratio, batch.advantages, batch.mask, low=low, high=high))
        return batch.importance * clipped_surrogate(ratio, batch.advantages, low=low, high=high)

    def advantages(self, rewards: Tensor) -> Tensor:
        """Advantages (B,) from rewards (B,), a question's completions adjacent."""
        from avcurate.train.core.objective import group_advantages

        return group_advantages(rewards, self.recipe.group)

    def gate(
        self, written: list[list[int]], decode: Callable[[Sequence[int]], str], record: Callable[[str, Tensor], None]
    ) -> list[list[float]] | None:
        """Which tokens of each completion the gated part of the objective uses; ``None``: all."""
        return None

    @abstractmethod
    def loss(self, batch: Completions) -> Tensor:
        """The objective: a scalar with gradient, KL term included."""

    def make_trainer(self, parts: Parts) -> Any | None:
        """A transformers Trainer of its own; ``None``: the one that rolls out, rewards and minimises :meth:`loss`.

        Raises:
            UserError: the recipe's sizes do not fit together.
        """
        return None
