"""All registries, for ``avcurate plugins``."""

from __future__ import annotations

from typing import Any

from avcurate.registry import Registry


def registries() -> list[Registry[Any]]:
    """Tasks, formats, engines, families, rewards and algorithms."""
    from avcurate.engines.open import ENGINES
    from avcurate.families import FAMILIES
    from avcurate.sources.formats import FORMATS
    from avcurate.tasks import TASKS
    from avcurate.train.names import ALGORITHMS, REWARDS

    return [TASKS, FORMATS, ENGINES, FAMILIES, REWARDS, ALGORITHMS]
