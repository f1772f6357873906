"""A model whose weights lie sharded over the processes (FSDP2): run whole where processes may run it unequally often,
and read whole to save it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from avcurate.errors import UserError


def asked_for() -> bool:
    """Whether the launcher asks for sharded weights (``accelerate launch --use_fsdp``, or its environment)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("1", "true", "yes")


def is_sharded(model: Any) -> bool:
    """Whether the model's weights are sharded."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


def refuse_unsharded(sharded: bool, version: int = 2) -> None:
    """Refuse a launch that asks for sharding and does not get it, or not FSDP2's.

    accelerate falls back to whole weights without a word, on CPUs for one.

    Raises:
        UserError: the two differ.
    """
    if asked_for() != sharded:
        raise UserError(
            f"FSDP was {'asked for' if asked_for() else 'not asked for'}, and weights are "
            f"{'sharded' if sharded else 'whole'} in every process.",
            "accelerate shards on GPUs only, with a configuration such as pipelines/launch/fsdp2.yaml.",
        )
    if sharded and version != 2:
        raise UserError("this is FSDP 1.", "Set fsdp_version: 2 in accelerate's configuration.")


def shard_by_layer(model: Any) -> None:
    """Make each layer of the text decoder one unit of FSDP, and no other module.

    By default the towers are units too; a process whose clips lack a modality would not run one, and hang the others.
    """
    from avcurate.attention.hidden import Decoder

    decoder = Decoder(model)
    model._no_split_modules = sorted({type(layer).__name__ for layer in decoder.layers})


@contextmanager
def whole(model: Any) -> Iterator[Any]:
    """Within, every process holds all weights of a sharded model, so it may run as often as it likes; call the root.

    Each forward pass of a sharded model is collective, and processes decode responses of different lengths. Costs the
    memory of the whole weights in their number format. Gradients are not needed within.
    """
    if not is_sharded(model):
        yield model
        return
    from torch.distributed.fsdp import FSDPModule

    parts = [m for m in model.modules() if isinstance(m, FSDPModule)]
    groups = [g for m in parts for g in m._get_fsdp_state()._fsdp_param_groups]
    before = [g.post_forward_mesh_info for g in groups]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield model
    finally:
        for group, was in zip(groups, before, strict=True):
            group.post_forward_mesh_info = was
        for part in parts:
            part.reshard()


def weights_of(model: Any) -> dict[str, Any]:
    """Names and whole weights; of a sharded model on the CPU, on the first process alone. All processes call this."""
    if not is_sharded(model):
        return dict(model.state_dict())
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
