"""Results that come a few rows at a time, put together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def joined(chunks: Iterator[Tensor], rows: int, dim: int = 1) -> Tensor:
    """Chunks, ``rows`` in all along ``dim``, as one tensor.

    Without gradients they are written into one buffer as they come: small results kept between chunks would sit in the
    gaps that large intermediate ones leave, and memory would grow with every chunk.
    """
    if torch.is_grad_enabled():
        return torch.cat(list(chunks), dim)
    whole, at = None, 0
    for chunk in chunks:
        if whole is None:
            whole = chunk.new_empty([rows if d == dim else n for d, n in enumerate(chunk.shape)])
        whole.narrow(dim, at, chunk.shape[dim]).copy_(chunk)
        at += chunk.shape[dim]
    assert whole is not None and at == rows
    return whole
