"""The processes of one training: which this is, and what they must do together.

Launched by ``torchrun`` or ``accelerate launch``, each runs the same command; the first alone writes and speaks. What
they do together must not depend on their data: one that waits for another which never comes hangs both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from avcurate.errors import UserError


def rank() -> int:
    """The number of this process; 0 where there is one."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process writes and speaks for all."""
    return rank() == 0


def prepare() -> None:
    """Choose this process's device before anything is loaded: all would load onto the first GPU."""
    if world() == 1:
        return
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    else:
        # accelerate joins processes on CPUs only where this is set; each would train alone
        os.environ.setdefault("ACCELERATE_USE_CPU", "1")


def refuse_lonely(joined: int) -> None:
    """Refuse processes that were launched together and did not join: each would train by itself, and overwrite.

    Raises:
        UserError: they did not join.
    """
    if joined != world():
        raise UserError(
            f"{world()} processes were launched, and {joined} train together.",
            "Launch with torchrun or accelerate launch, without an accelerate configuration of another number.",
        )


def wait() -> None:
    """Wait until all processes are here."""
    if world() > 1:
        import torch.distributed

        torch.distributed.barrier()


def most(count: int) -> int:
    """The largest of all processes' counts."""
    return int(max(_gathered(count)))


def mean(values: Sequence[float]) -> float:
    """The mean over the values of all processes."""
    return means({"": values})[""][0]


def means(values: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Means over what all processes have recorded under each name; a name that only some know counts where it is."""
    totals: dict[str, list[float]] = {}
    for sums in _gathered({name: (float(sum(v)), len(v)) for name, v in values.items()}):
        for name, (total, count) in sums.items():
            entry = totals.setdefault(name, [0.0, 0])
            entry[0], entry[1] = entry[0] + total, entry[1] + count
    return {name: [total / count] for name, (total, count) in totals.items() if count}


def _gathered(value: Any) -> list[Any]:
    """The value of every process, in their order."""
    if world() == 1:
        return [value]
    import torch.distributed

    gathered: list[Any] = [None] * world()
    torch.distributed.all_gather_object(gathered, value)
    return gathered
