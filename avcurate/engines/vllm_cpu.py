"""A repair of vLLM's CPU backend, seen in 0.32: a transposed input kills a matrix product, and the engine then hangs.

Gemma 4's audio tower hands one to every layer that oneDNN computes. Where vLLM no longer has that function, or on a
GPU, nothing is changed.
"""

from __future__ import annotations

from typing import Any


def repair() -> None:
    """Make inputs contiguous before oneDNN's matrix product; does nothing the second time."""
    from vllm import _custom_ops

    product: Any = getattr(_custom_ops, "onednn_mm", None)
    if product is None or getattr(product, "repaired", False):
        return

    def contiguous(handler: Any, x: Any, bias: Any) -> Any:
        return product(handler, x if x.stride(-1) == 1 else x.contiguous(), bias)

    contiguous.repaired = True  # type: ignore[attr-defined]
    _custom_ops.onednn_mm = contiguous
