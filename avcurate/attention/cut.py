"""Attention knockout: queries of one kind do not read keys of another, in a range of layers (see/hear §4)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from avcurate.attention.kinds import GROUPS
from avcurate.attention.locate import members
from avcurate.errors import UserError

_RULE = re.compile(r"(?P<query>[a-z]+)->(?P<keys>[a-z]+)(?::(?P<first>\d+)-(?P<end>\d*))?")
REST = "rest"
HELP = "QUERY->KEYS or QUERY->KEYS:FIRST-END, e.g. response->audio:0-14; END is not included"


class Rule(Protocol):
    """Who does not read whom in which layers."""

    def holds_in(self, layer: int) -> bool:
        """Whether the rule holds in a layer."""

    def hidden(self, kinds: Tensor, first: int, last: int) -> Tensor:
        """Keys that queries ``first`` to ``last`` do not read: bool (B, rows, K), given the keys' kinds (B, K)."""


@dataclass(frozen=True)
class Cut:
    """One rule.

    Attributes:
        query: group of tokens whose queries are changed, see ``GROUPS``; ``rest``: all but the keys themselves.
        keys: group that they no longer read.
        first: first layer; end: one past the last, ``None``: to the last.
    """

    query: str
    keys: str
    first: int = 0
    end: int | None = None

    @classmethod
    def parse(cls, rule: str) -> Cut:
        """A rule as it is written in recipes: ``response->audio:0-14``.

        Raises:
            UserError: it is not one.
        """
        match = _RULE.fullmatch(rule.replace(" ", ""))
        names = (match["query"], match["keys"]) if match else ()
        unknown = [n for i, n in enumerate(names) if n not in GROUPS and (i or n != REST)]
        if match is None or unknown or (match["end"] and int(match["end"]) <= int(match["first"])):
            why = f"there is no group {unknown[0]!r}" if unknown else f"it is not {HELP}"
            raise UserError(
                f"the cut {rule!r} cannot be made: {why}.",
                f"Groups are: {', '.join(GROUPS)}; and {REST} before the arrow.",
            )
        end = int(match["end"]) if match["end"] else None
        return cls(match["query"], match["keys"], int(match["first"] or 0), end)

    def __str__(self) -> str:
        layers = f":{self.first}-{self.end}" if self.end is not None else f":{self.first}-" if self.first else ""
        return f"{self.query}->{self.keys}{layers}"

    def within(self, layers: int) -> Cut:
        """The rule in a model of that many layers, its end filled in.

        Raises:
            UserError: it begins after the last layer, and would be reported as harmless.
        """
        if self.first >= layers:
            raise UserError(f"{self} cuts nothing: the model has layers 0 to {layers - 1}.", "Name layers that it has.")
        return replace(self, end=layers if self.end is None else min(self.end, layers))

    def holds_in(self, layer: int) -> bool:
        """Whether the rule holds in a layer."""
        return self.first <= layer and (self.end is None or layer < self.end)

    def hidden(self, kinds: Tensor, first: int, last: int) -> Tensor:
        """Keys that queries ``first`` to ``last`` do not read, a token's own key excepted: bool (B, rows, K).

        A query always reads itself, so that no row of the softmax is empty.
        """
        keys = members(kinds, GROUPS[self.keys])
        queries = ~keys if self.query == REST else members(kinds, GROUPS[self.query])
        queries = queries[:, first:last]
        positions = torch.arange(kinds.shape[1], device=kinds.device)
        own = positions[first:last, None] == positions[None]
        return queries[:, :, None] & keys[:, None, :] & ~own[None]


@dataclass(frozen=True)
class Unread:
    """Some tokens of a group that no other token reads, in any layer.

    Attributes:
        keys: the group, see ``GROUPS``.
        numbers: which of its tokens in each sequence, counted from 0.
    """

    keys: str
    numbers: frozenset[int]

    def holds_in(self, layer: int) -> bool:
        """In all of them."""
        return True

    def hidden(self, kinds: Tensor, first: int, last: int) -> Tensor:
        """Those keys, for every query but each key's own: bool (B, rows, K)."""
        group = members(kinds, GROUPS[self.keys])
        wanted = torch.tensor(sorted(self.numbers), dtype=torch.long, device=kinds.device)
        chosen = group & torch.isin(group.long().cumsum(1) - 1, wanted)
        positions = torch.arange(kinds.shape[1], device=kinds.device)
        own = positions[first:last, None] == positions[None]
        return chosen[:, None, :] & ~own[None]
