"""Logits for the positions that are wanted, and for no other.

Thinkers compute them for the whole prompt: at a vocabulary of 152,064, twelve prompts of 3,000 tokens would take 11 GB
that nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def logits_from(model: Any, first: int) -> Iterator[None]:
    """Within, the model computes logits only for positions from ``first`` on (negative: from the end)."""
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, states: (states[0][:, first:],))
    try:
        yield
    finally:
        hook.remove()
