"""Weights that full training leaves alone."""

from __future__ import annotations

import re
from typing import Any

from avcurate.attention.hidden import Decoder
from avcurate.families.base import Family


def freeze(model: Any, family: Family, *, towers: bool) -> None:
    """Freeze weights that no pass uses, and the towers on request; what is left gets a gradient in every pass.

    A weight that never gets one is averaged wrongly by DDP and missing from FSDP's checkpoints.

    Args:
        towers: whether to freeze all but the text decoder and its head.
    """
    unused = re.compile(family.unused) if family.unused else None
    decoder = Decoder(model)
    kept = {id(p) for part in (decoder.body, decoder.head) for p in part.parameters()}
    for name, weight in model.named_parameters():
        if (towers and id(weight) not in kept) or (unused is not None and unused.fullmatch(name)):
            weight.requires_grad_(False)
