"""What passes between the steps of the in-process engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from avcurate.attention.plan import Plan


@dataclass
class Prefill:
    """A batch of prompts after its forward pass."""

    logits: Tensor
    cache: Any
    mask: Tensor
    next_position: Tensor
    ids: Tensor
    axes: int
    plan: Plan | None


@dataclass
class Sampled:
    """Responses to a batch of like requests, as token ids.

    Attributes:
        owner: for each response the index of its request.
        seeds: its seed; written: its tokens, the end token included if it was drawn.
        prompts: token ids of the prompts, (requests, L), padded on the left; lengths: tokens of each.
        first: likeliest first tokens of each request, if requested.
    """

    owner: list[int]
    seeds: list[int]
    written: list[list[int]]
    prompts: Tensor
    lengths: list[int]
    first: list[dict[str, float] | None]
