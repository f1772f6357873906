"""Lets a CUDA build of torchvision be imported beside a CPU build of torch.

transformers' video processors import torchvision, which is pure Python for all they use, but its
CUDA build fails at import because two operator schemas are missing. Declaring them is enough. To
have it in child processes too, put ``import avcurate.engines.torchvision_cpu`` into a ``.pth`` file.
"""

from __future__ import annotations

import importlib.abc
import sys
from typing import Any


class _DeclareOperators(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name != "torchvision._meta_registrations":
            return
        import torch
        import torchvision.extension

        if torch.version.cuda is None and not torchvision.extension._has_ops():
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            for operator in ("nms", "qnms"):
                try:
                    torch.library.define(f"torchvision::{operator}", schema)
                except RuntimeError:
                    continue


sys.meta_path.insert(0, _DeclareOperators())
