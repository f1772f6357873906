"""The cluster: how it is reached, what a replica asks of it, and how many there is room for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from avcurate.errors import UserError


@dataclass(frozen=True)
class Ask:
    """What is asked of a cluster.

    Attributes:
        address: of a running cluster; empty: the one Ray finds by itself, or one on this machine.
        replicas: how many; 0: as many as there is room for.
        gpus: GPUs of a replica; ``None``: one where the cluster has any.
        cpus: CPUs of a replica, decoding included; ``None``: one, and ``decoders``, but not so many that GPUs idle.
        decoders: clips that a replica decodes in parallel.
        nodes: machines that one replica is spread over (tensor parallel across machines).
        silent_s: seconds without a sign of life after which a replica is given up.
    """

    address: str = ""
    replicas: int = 0
    gpus: float | None = None
    cpus: float | None = None
    nodes: int = 1
    silent_s: float = 60.0
    decoders: int = 2


@dataclass(frozen=True)
class Room:
    """Replicas that fit, and what each takes (``ray.remote``'s options)."""

    replicas: int
    options: dict[str, Any]
    bundles: tuple[dict[str, float], ...] = ()
    """Of a placement group per replica, one GPU each: a replica that is spread over machines."""


def connect(ask: Ask) -> Any:
    """The ``ray`` module, connected.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray.", "Install it: pip install 'avcurate[ray]'.") from None
    if not ray.is_initialized():
        where = {"address": ask.address} if ask.address else {}
        try:
            ray.init(log_to_driver=False, include_dashboard=False, **where)
        except (ConnectionError, ValueError, RuntimeError) as e:
            reason = " ".join(str(e).split())[:200]
            raise UserError(
                f"the Ray cluster {ask.address or 'on this machine'} cannot be reached: {reason}",
                "Check `ray status` there, and --ray-address; `auto` finds a cluster that runs on this machine.",
            ) from e
    return ray


def room_for(resources: dict[str, float], ask: Ask, rows: int) -> Room:
    """How many replicas fit, and what each takes.

    Args:
        resources: what the cluster has, ``CPU`` and ``GPU``.
        ask: what is wanted.
        rows: rows that are left: no more replicas than rows.

    Raises:
        UserError: not even one fits; Ray would wait for ever.
    """
    have_gpus, have_cpus = resources.get("GPU", 0.0), max(1.0, resources.get("CPU", 1.0))
    gpus = ask.gpus if ask.gpus is not None else (1.0 if have_gpus else 0.0)
    cpus = ask.cpus if ask.cpus is not None else _cpus(have_cpus, have_gpus, gpus, ask.decoders)
    fits = min(have_gpus / gpus if gpus else math.inf, have_cpus / cpus if cpus else math.inf)
    if fits < 1:
        raise UserError(
            f"a replica needs {gpus:g} GPUs and {cpus:g} CPUs; the cluster has {have_gpus:g} and {have_cpus:g}.",
            "Lower run.ray.gpus or run.ray.cpus, or wait for more nodes.",
        )
    if ask.replicas > fits:
        raise UserError(
            f"{ask.replicas} replicas of {gpus:g} GPUs and {cpus:g} CPUs do not fit: there is room for {int(fits)}.",
            "Lower run.ray.replicas, run.ray.gpus or run.ray.cpus.",
        )
    count = max(1, min(ask.replicas or int(min(fits, 1 << 16)), rows))
    if ask.nodes > 1:
        if gpus < ask.nodes or gpus != int(gpus):
            raise UserError(
                f"a replica of {gpus:g} GPUs cannot be spread over {ask.nodes} machines.",
                "Set run.ray.gpus to a multiple of run.ray.nodes.",
            )
        # vLLM takes one GPU of each bundle for each of its workers, and refuses larger bundles
        bundles = tuple({"GPU": 1.0, "CPU": max(1.0, cpus / gpus)} for _ in range(int(gpus)))
        return Room(count, {"num_gpus": 0, "num_cpus": 0}, bundles)
    return Room(count, {"num_gpus": gpus, "num_cpus": cpus})


def _cpus(have_cpus: float, have_gpus: float, gpus: float, decoders: int) -> float:
    """CPUs of a replica where nobody said how many."""
    if not gpus:
        return min(2.0, have_cpus)
    share = have_cpus / max(1, int(have_gpus / gpus))
    return float(max(1, min(1 + decoders, int(share))))


def spread(ray: Any, room: Room) -> dict[str, Any]:
    """Options of a replica that is spread over machines: a placement group of its own; else none.

    Raises:
        UserError: the group finds no room in ten minutes.
    """
    if not room.bundles:
        return {}
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    group = ray.util.placement_group(list(room.bundles), strategy="PACK")
    if not group.wait(600):
        ray.util.remove_placement_group(group)
        raise UserError(f"there is no room for {len(room.bundles)} GPUs together.", "Free some, or lower run.ray.gpus.")
    captures = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    return {"scheduling_strategy": captures}
