"""Hidden states of one run put into another, while the prompt is read (causal tracing; crossmodal-hub §3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from avcurate.attention.hidden import Decoder

Site = Literal["input_layernorm", "self_attn", "mlp"]


@dataclass(frozen=True)
class Patch:
    """Which tokens have clean states in which layers.

    Attributes:
        positions: bool (L,); layers: first layer and one past the last.
    """

    positions: Tensor
    layers: tuple[int, int]


def _first(output: Any) -> Tensor:
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


@contextmanager
def kept(decoder: Decoder, site: Site) -> Iterator[list[Tensor]]:
    """Within, the first pass over a prompt of one row fills the list with the site's output in each layer, (L, H)."""
    states: list[Tensor] = []

    def keep(_module: Any, _arguments: Any, output: Any) -> None:
        if len(states) < len(decoder.layers):
            states.append(_first(output)[0].detach())

    hooks = [getattr(layer, site).register_forward_hook(keep) for layer in decoder.layers]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def patched(decoder: Decoder, site: Site, states: Tensor, patches: Sequence[Patch]) -> Iterator[None]:
    """Within, a pass over R equal prompts has these states at the site; single tokens decoded later do not.

    Args:
        decoder: of the model.
        site: where.
        states: (layers, L, H), what :func:`kept` read in the clean run.
        patches: one for each row.
    """
    positions = torch.stack([p.positions for p in patches])

    def hook_of(index: int) -> Any:
        wanted = [first <= index < end for first, end in (p.layers for p in patches)]
        chosen = positions & torch.tensor(wanted, device=positions.device)[:, None]

        def put(_module: Any, _arguments: Any, output: Any) -> Any:
            ours = _first(output)
            if ours.shape[:2] != chosen.shape:
                return None
            mixed = torch.where(chosen[:, :, None], states[index][None], ours)
            return (mixed, *output[1:]) if isinstance(output, tuple) else mixed

        return put

    hooks = [getattr(layer, site).register_forward_hook(hook_of(i)) for i, layer in enumerate(decoder.layers)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def averaged(decoder: Decoder, positions: Tensor | None) -> Iterator[None]:
    """Within, the embeddings of these tokens (bool (L,)) are all their mean; ``None`` changes nothing.

    Features that a model adds to later layers (Qwen3-Omni's deepstack) are not averaged.
    """

    def put(_module: Any, arguments: Any, keywords: Any) -> Any:
        states = arguments[0] if arguments else keywords["hidden_states"]
        if positions is None or states.shape[1] != len(positions) or not positions.any():
            return None
        mean = states[:, positions].mean(1, keepdim=True)
        mixed = torch.where(positions[None, :, None], mean, states)
        return ((mixed, *arguments[1:]), keywords) if arguments else ((), {**keywords, "hidden_states": mixed})

    hook = decoder.layers[0].register_forward_pre_hook(put, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


class Odds:
    """The probability of answers, each the greatest over all steps and over the tokens it may begin with (§3.2).

    Args:
        options: token ids of each answer.
        rows: responses that are written.

    Attributes:
        values: of each row, a probability per answer.
    """

    def __init__(self, options: Sequence[Sequence[int]], rows: int = 1) -> None:
        self.options = [list(ids) for ids in options]
        self.values = [[0.0] * len(self.options) for _ in range(rows)]

    def __call__(self, live: list[int], logits: Tensor) -> None:
        """Take the logits (rows, V) of a step."""
        likely = logits.float().softmax(-1)
        best = torch.stack([likely[:, ids].amax(-1) for ids in self.options], 1).tolist()
        for row, values in zip(live, best, strict=True):
            self.values[row] = [max(a, b) for a, b in zip(self.values[row], values, strict=True)]
