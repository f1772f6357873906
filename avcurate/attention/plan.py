"""What is read, cut and edited in one forward pass, or while one batch is decoded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avcurate.attention.cut import Rule
from avcurate.attention.edit import Edit
from avcurate.attention.kinds import Kind
from avcurate.attention.read import Reader


class Plan:
    """Given to the model's forward pass as the keyword ``plan``; it reaches the attention function of every layer.

    A plain class, because FSDP2 copies dataclasses.

    Args:
        kinds: int64 (B, K), the kind of every key; needed for cuts.
        cuts: rules of who does not read whom.
        edits: changes of scores before the softmax.
        readers: what is read. Full forward passes only, not while decoding with a cache.
    """

    def __init__(
        self,
        kinds: Tensor | None = None,
        cuts: Sequence[Rule] = (),
        edits: Sequence[Edit] = (),
        readers: Sequence[Reader] = (),
    ) -> None:
        if cuts and kinds is None:
            raise ValueError("a cut needs the kinds of the tokens.")
        self.kinds, self.cuts, self.edits, self.readers = kinds, tuple(cuts), tuple(edits), tuple(readers)
        self.length = kinds.shape[1] if kinds is not None else max((e.keys.shape[1] for e in edits), default=0)
        """Tokens of the sequences so far. The cache of a layer with a sliding window holds only the last of them."""

    def cuts_in(self, layer: int) -> list[Rule]:
        """Cuts of a layer."""
        return [c for c in self.cuts if c.holds_in(layer)]

    def edits_in(self, layer: int) -> list[Edit]:
        """Edits of a layer."""
        return [e for e in self.edits if e.holds_in(layer)]

    def readers_in(self, layer: int) -> list[Reader]:
        """Readers of a layer."""
        return [r for r in self.readers if r.reads(layer)]

    def hidden(self, layer: int, first: int, last: int) -> Tensor | None:
        """Keys that queries ``first`` to ``last`` do not read in a layer: bool (B, rows, K); ``None``: none."""
        hidden = None
        for cut in self.cuts_in(layer):
            assert self.kinds is not None
            one = cut.hidden(self.kinds, first, last)
            hidden = one if hidden is None else hidden | one
        return hidden

    def select(self, rows: Tensor) -> None:
        """Keep these sequences of the batch, as the cache does."""
        if self.kinds is not None:
            self.kinds = self.kinds[rows]
        for edit in self.edits:
            edit.select(rows)

    def grow(self) -> None:
        """One more generated token for every sequence."""
        self.length += 1
        if self.kinds is not None:
            new = torch.full_like(self.kinds[:, :1], int(Kind.GENERATED))
            self.kinds = torch.cat([self.kinds, new], 1)
