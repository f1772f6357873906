"""What is read of attention, a few query rows at a time: mass on a modality, shares by kind, sums over columns.

Nothing of size (L, L) is kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from avcurate.attention.chunks import joined
from avcurate.attention.kinds import Kind
from avcurate.attention.locate import members

Reduce = Literal["max", "mean"]


class Reader(ABC):
    """Reads scores of some layers from some row on.

    A plain class, not a dataclass: FSDP2 copies dataclasses that a forward pass is given, and results would be lost.

    Args:
        first: first query row that is read.
        layers: layers that are read; ``None``: all.

    Attributes:
        cached: whether it also reads the one row of each token that is decoded with a cache.
    """

    cached = False

    def __init__(self, first: int, layers: frozenset[int] | None) -> None:
        self.first, self.layers = first, layers

    def reads(self, layer: int) -> bool:
        """Whether a layer is read."""
        return self.layers is None or layer in self.layers

    @abstractmethod
    def chunk(self, scores: Tensor, first: int) -> Any:
        """What some rows give.

        Args:
            scores: float32 (B, heads, rows, K), -inf where a key is not read.
            first: position of the first of these rows.
        """

    @abstractmethod
    def keep(self, layer: int, chunks: Iterator[Any]) -> None:
        """Store what the chunks of a layer give, in order.

        Each is computed when it is taken; see :func:`joined` for why they are not put into a list.
        """


class Mass(Reader):
    """Attention on a modality's tokens, differentiable (MAPO §3.2).

    The exp of the difference of two log-sum-exps: over the modality's keys, and over all.

    Args:
        keys: bool (B, L), the modality's own tokens (placeholders without their markers).
        first: first row of the completion.
        layers: layers whose mass is averaged.
        reduce: over the heads of a layer; the paper's objective takes the maximum.

    Attributes:
        masses: per layer (B, R); filled by the forward pass.
    """

    def __init__(self, keys: Tensor, first: int, layers: frozenset[int], reduce: Reduce = "max") -> None:
        super().__init__(first, layers)
        self.keys, self.reduce, self.rows = keys, reduce, keys.shape[1] - first
        self.wanted = layers
        self.masses: dict[int, Tensor] = {}

    def chunk(self, scores: Tensor, first: int) -> Tensor:
        """Mass of rows, reduced over the heads: (B, rows)."""
        total = scores.logsumexp(-1)
        # a row that attends to none of the modality has no mass, and must not make the gradient NaN
        low = torch.finfo(scores.dtype).min
        modality = scores.masked_fill(~self.keys[:, None, None, :], low).clamp(min=low).logsumexp(-1)
        mass = torch.where(total.isfinite(), (modality - total).exp(), torch.zeros_like(total))
        return mass.amax(1) if self.reduce == "max" else mass.mean(1)

    def keep(self, layer: int, chunks: Iterator[Tensor]) -> None:
        """Join the rows."""
        self.masses[layer] = joined(chunks, self.rows)

    def mass(self) -> Tensor:
        """a_t, the mean over the layers: (B, R) in [0, 1].

        Row r belongs to the query at position ``first + r``: the one that *predicts* the token after it.

        Raises:
            RuntimeError: a layer did not run through the attention function.
        """
        missing = self.wanted - self.masses.keys()
        if missing:
            raise RuntimeError(
                f"the attention of layers {sorted(missing)} was not read: the model does not run through avcurate's "
                "attention function, or re-entrant gradient checkpointing lost the values."
            )
        return torch.stack([self.masses[i] for i in sorted(self.wanted)]).mean(0)


class Shares(Reader):
    """How a query's attention is divided among kinds of keys.

    Args:
        kinds: int64 (B, L).
        first: first query row that is read.
        layers: layers that are read; ``None``: all.

    Attributes:
        mean: per layer (B, R, C), the mean over the heads of the share of each kind, C = ``len(Kind)``; peak: the
            maximum over the heads.
        heads: per layer (B, heads, C, C): sums over the queries of each kind (second last axis) of the share of each
            kind of keys (last axis); divide by ``counts``.
    """

    def __init__(self, kinds: Tensor, first: int = 0, layers: frozenset[int] | None = None) -> None:
        super().__init__(first, layers)
        self.kinds = kinds
        self._one_hot = torch.nn.functional.one_hot(kinds, len(Kind)).float()
        self.mean: dict[int, Tensor] = {}
        self.peak: dict[int, Tensor] = {}
        self.heads: dict[int, Tensor] = {}

    @property
    def counts(self) -> Tensor:
        """Queries of each kind that were read: (B, C)."""
        return self._one_hot[:, self.first :].sum(1)

    def chunk(self, scores: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and maximum over heads by row, and sums over rows by head."""
        shares = _probabilities(scores) @ self._one_hot[:, None]
        sources = self._one_hot[:, first : first + scores.shape[2]]
        return shares.mean(1), shares.amax(1), torch.einsum("bhrc,brs->bhsc", shares, sources)

    def keep(self, layer: int, chunks: Iterator[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Join rows; add sums."""
        batch, rows, kinds = self.kinds.shape[0], self.kinds.shape[1] - self.first, len(Kind)
        mean, peak = self._one_hot.new_empty(2, batch, rows, kinds)
        at = 0
        for some_mean, some_peak, sums in chunks:
            if not at:
                heads = torch.zeros_like(sums)
            upto = at + some_mean.shape[1]
            mean[:, at:upto], peak[:, at:upto] = some_mean, some_peak
            heads += sums
            at = upto
        self.mean[layer], self.peak[layer], self.heads[layer] = mean, peak, heads


class Columns(Reader):
    """Attention that each token receives from later queries of a kind, mean over the heads (crossmodal-hub §3.3).

    Args:
        kinds: int64 (B, L).
        sources: kinds of the queries, summed apart.
        layers: layers that are read; ``None``: all.

    Attributes:
        sums: per layer (B, S, L). A token's own query does not count as later.
    """

    def __init__(self, kinds: Tensor, sources: Sequence[Kind], layers: frozenset[int] | None = None) -> None:
        super().__init__(0, layers)
        self.sources = torch.stack([members(kinds, (s,)) for s in sources], 1).float()
        self.sums: dict[int, Tensor] = {}

    @property
    def later(self) -> Tensor:
        """How many later queries of each kind a token has: (B, S, L)."""
        return self.sources.flip(-1).cumsum(-1).flip(-1) - self.sources

    def chunk(self, scores: Tensor, first: int) -> Tensor:
        """Sums over some rows: (B, S, K)."""
        probabilities = _probabilities(scores).mean(1)
        rows = torch.arange(first, first + scores.shape[2], device=scores.device)
        own = rows[:, None] == torch.arange(scores.shape[3], device=scores.device)
        return self.sources[:, :, first : first + scores.shape[2]] @ probabilities.masked_fill(own, 0.0)

    def keep(self, layer: int, chunks: Iterator[Tensor]) -> None:
        """Add the rows."""
        total = torch.zeros_like(self.sources)
        for sums in chunks:
            total += sums
        self.sums[layer] = total


class Latest(Reader):
    """Attention of the latest query, while a prompt is read and then with each token that is decoded.

    Args:
        first: the last position of the prompt; layers: layers that are averaged.
    """

    cached = True

    def __init__(self, first: int, layers: frozenset[int]) -> None:
        super().__init__(first, layers)
        self._rows: dict[int, Tensor] = {}

    def chunk(self, scores: Tensor, first: int) -> Tensor:
        """Mean over the heads of the last row: (B, K)."""
        return _probabilities(scores[:, :, -1]).mean(1)

    def keep(self, layer: int, chunks: Iterator[Tensor]) -> None:
        """Replace the layer's row."""
        for row in chunks:
            self._rows[layer] = row

    @property
    def row(self) -> Tensor:
        """Mean over the layers: (B, K)."""
        return torch.stack(list(self._rows.values())).mean(0)


def _probabilities(scores: Tensor) -> Tensor:
    """Softmax; a row that reads nothing (padding) is 0."""
    return scores.softmax(-1).nan_to_num()
