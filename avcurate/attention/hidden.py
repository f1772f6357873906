"""Hidden states of the decoder's layers, and its output head over them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from avcurate.attention.function import bare

ROWS = 256


class Decoder:
    """The text decoder of a model: its layers, its final norm, its head.

    Raises:
        RuntimeError: the model's layers are not where they are in every family known.
    """

    def __init__(self, model: Any) -> None:
        model = bare(model)
        count = int(model.config.get_text_config(decoder=True).num_hidden_layers)
        for name, module in model.named_modules():
            if not isinstance(module, nn.ModuleList) or len(module) != count or not name.endswith("layers"):
                continue
            parent = model.get_submodule(name.rpartition(".")[0])
            if hasattr(module[0], "input_layernorm") and hasattr(parent, "norm") and hasattr(parent, "embed_tokens"):
                self.body, self.layers, self.norm = parent, module, parent.norm
                self.head = model.get_output_embeddings()
                config = model.config.get_text_config(decoder=True)
                self._cap: float | None = getattr(config, "final_logit_softcapping", None)
                return
        raise RuntimeError(f"{type(model).__name__} has no decoder of {count} layers that can be read.")

    @contextmanager
    def outputs(self) -> Iterator[list[Tensor]]:
        """Within, a forward pass fills the list with the output of each layer, (B, L, H), before the final norm."""
        states: list[Tensor] = []

        def keep(_module: Any, _arguments: Any, output: Any) -> None:
            states.append(output[0] if isinstance(output, tuple) else output)

        hooks = [layer.register_forward_hook(keep) for layer in self.layers]
        try:
            yield states
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def inputs(self) -> Iterator[list[Tensor]]:
        """Within, a forward pass fills the list with the input of each layer, (B, L, H)."""
        states: list[Tensor] = []

        def keep(_module: Any, arguments: Any, keywords: Any) -> None:
            states.append(arguments[0] if arguments else keywords["hidden_states"])

        hooks = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in self.layers]
        try:
            yield states
        finally:
            for hook in hooks:
                hook.remove()

    def logits(self, states: Tensor, *, norm: bool) -> Tensor:
        """The head over hidden states (N, H), after the final norm or raw: float32 (N, V), capped as the model caps."""
        logits = torch.as_tensor(self.head(self.norm(states) if norm else states)).float()
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap

    def likeliest(self, states: Tensor, count: int, *, norm: bool) -> Tensor:
        """The likeliest tokens at each of N states, best first: int64 (N, ``count``)."""
        parts = [self.logits(part, norm=norm).topk(count).indices for part in torch.split(states, ROWS)]
        return torch.cat(parts) if parts else torch.empty(0, count, dtype=torch.long)
