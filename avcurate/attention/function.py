"""The attention function itself, registered with transformers: sdpa or flex where nothing is asked of it.

No model is patched. A model is switched to it by :func:`switch_on`; without a plan its output is that of the kernel it
had before, and with one only the layers that the plan names do more. Scores are computed for ``ROWS`` query rows at a
time, so memory grows with the length of the sequence and not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from avcurate.attention.chunks import joined
from avcurate.attention.plan import Plan
from avcurate.errors import UserError

NAME = "avcurate"
FLEX = "avcurate_flex"
ROWS = 64
CUT_ROWS = 512


def register() -> None:
    """Register the function with transformers under both names."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import flex_attention_mask, sdpa_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    AttentionInterface.register(FLEX, attention)
    AttentionMaskInterface.register(FLEX, flex_attention_mask)


def switch_on(model: Any) -> None:
    """Run a model's text decoder through the function from now on.

    Must stay on until after ``backward``: gradient checkpointing reruns layers, which would otherwise use a different
    attention.

    Raises:
        UserError: gradient checkpointing is re-entrant; it would silently lose a mass's gradient.
    """
    refuse_reentrant(model)
    register()
    config = bare(model).config.get_text_config(decoder=True)
    config._attn_implementation = FLEX if is_flex(config._attn_implementation) else NAME


def is_flex(implementation: str) -> bool:
    """Whether masks are block masks under this implementation."""
    return implementation in ("flex_attention", FLEX)


def bare(model: Any) -> Any:
    """The model itself, without what wraps it for several processes or for LoRA."""
    while hasattr(model, "module"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def refuse_reentrant(model: Any) -> None:
    """Refuse re-entrant gradient checkpointing.

    Raises:
        UserError: a module uses re-entrant checkpointing.
    """
    for module in model.modules():
        function = getattr(module, "_gradient_checkpointing_func", None)
        if function is not None and getattr(function, "keywords", {}).get("use_reentrant", False):
            raise UserError(
                "re-entrant gradient checkpointing loses the gradient of captured attention.",
                'Use gradient_checkpointing_kwargs={"use_reentrant": False}.',
            )


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    plan: Plan | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Any]:
    """Attention of one layer under a plan; inputs are (B, heads, L, D), the output is (B, L, heads, D)."""
    layer = getattr(module, "layer_idx", None)
    arguments = {"dropout": dropout, "scaling": scaling, **kwargs}
    if plan is None or layer is None:
        return _kernel(module, query, key, value, attention_mask, arguments), None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = _Scores(query, key, attention_mask, scale, plan, layer)
    if plan.edits_in(layer):
        out = scores.attend(value)
    elif plan.cuts_in(layer):
        out = _cut(module, query, key, value, scores, arguments)
    else:
        out = _kernel(module, query, key, value, attention_mask, arguments)
    scores.read()
    return out, None


def _kernel(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, arguments: dict[str, Any]) -> Tensor:
    if mask is not None and not isinstance(mask, Tensor):
        from transformers.integrations.flex_attention import flex_attention_forward

        flexed: Tensor = flex_attention_forward(module, query, key, value, mask, **arguments)[0]
        return flexed
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    out: Tensor = sdpa_attention_forward(module, query, key, value, mask, **arguments)[0]
    return out


def _cut(module: Any, query: Tensor, key: Tensor, value: Tensor, scores: _Scores, arguments: dict[str, Any]) -> Tensor:
    """The kernel, a chunk of query rows at a time, each with its own mask."""
    length = query.shape[2]

    def chunks() -> Iterator[Tensor]:
        for first in range(0, length, CUT_ROWS):
            last = min(first + CUT_ROWS, length)
            yield _kernel(module, query[:, :, first:last], key, value, scores.allowed(first, last), arguments)

    return joined(chunks(), length)


class _Scores:
    """Scores of one layer, computed for a few rows when they are needed.

    Rows are counted from the first query; its position is that many keys from the end.
    """

    def __init__(self, query: Tensor, key: Tensor, mask: Any, scale: float, plan: Plan, layer: int) -> None:
        self.query, self.key, self.mask, self.scale = query, key, mask, scale
        self.plan, self.layer = plan, layer
        self.offset = key.shape[2] - query.shape[2]
        # a layer with a sliding window keeps only the last keys: so many were before the first that is there
        self.gone = max(0, plan.length - key.shape[2]) if self.offset else 0
        self.repeats = query.shape[1] // key.shape[1]

    def allowed(self, first: int, last: int) -> Tensor:
        """Which keys rows read, or what is added to their scores: (B or 1, 1, rows, K)."""
        rows, keys = (torch.arange(n, device=self.query.device) for n in (last, self.key.shape[2]))
        mask = self.mask
        if mask is None:
            allowed: Tensor = (keys[None] <= rows[first:, None] + self.offset)[None, None]
        elif isinstance(mask, Tensor):
            allowed = mask[:, :, first:last, : len(keys)]
        else:
            batch = torch.arange(self.query.shape[0], device=keys.device)[:, None, None]
            allowed = mask.mask_mod(batch, batch.new_zeros(()), rows[None, first:, None], keys[None, None])
            allowed = allowed.expand(len(batch), -1, -1)[:, None]
        place = self.offset + self.gone
        hidden = self.plan.hidden(self.layer, first + place, last + place)
        if hidden is None:
            return allowed
        hidden = hidden[..., self.gone :]
        if allowed.dtype == torch.bool:
            return allowed & ~hidden[:, None]
        return allowed.masked_fill(hidden[:, None], torch.finfo(allowed.dtype).min)

    def of(self, first: int, last: int) -> Tensor:
        """Scores of rows, cut and edited: float32 (B, heads, rows, K), -inf where a key is not read."""
        # under autocast the product would be in bfloat16, and a mass off by several per cent
        with torch.autocast(self.query.device.type, enabled=False):
            key = self.key.repeat_interleave(self.repeats, dim=1).float()
            scores = (self.query[:, :, first:last].float() @ key.transpose(-1, -2)) * self.scale
        allowed = self.allowed(first, last)
        if allowed.dtype == torch.bool:
            scores = scores.masked_fill(~allowed, float("-inf"))
        else:
            low = torch.finfo(allowed.dtype).min
            scores = (scores + allowed.float()).masked_fill(allowed <= low, float("-inf"))
        for edit in self.plan.edits_in(self.layer):
            scores = edit.edited(scores, first + self.offset + self.gone, self.gone)
        return scores

    def attend(self, value: Tensor) -> Tensor:
        """Attention over edited scores: (B, L, heads, D)."""
        value = value.repeat_interleave(self.repeats, dim=1)
        length = self.query.shape[2]

        def chunks() -> Iterator[Tensor]:
            for first in range(0, length, ROWS):
                weights = self.of(first, min(first + ROWS, length)).softmax(-1).nan_to_num()
                yield (weights @ value.float()).to(value.dtype).transpose(1, 2)

        return joined(chunks(), length).contiguous()

    def read(self) -> None:
        """Give the readers of this layer their rows."""
        readers = self.plan.readers_in(self.layer)
        if self.offset and not all(r.cached for r in readers):
            raise RuntimeError("attention is read in full forward passes, not while decoding with a cache.")
        for reader in readers:
            reader.keep(self.layer, self._chunks(reader))

    def _chunks(self, reader: Any) -> Iterator[Any]:
        for first in range(0 if self.offset else reader.first, self.query.shape[2], ROWS):
            last = min(first + ROWS, self.query.shape[2])
            if torch.is_grad_enabled() and self.query.requires_grad:
                yield torch.utils.checkpoint.checkpoint(self._chunk, reader, first, last, use_reentrant=False)
            else:
                yield self._chunk(reader, first, last)

    def _chunk(self, reader: Any, first: int, last: int) -> Any:
        return reader.chunk(self.of(first, last), first)
