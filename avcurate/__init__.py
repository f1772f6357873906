"""avcurate: curate and label data for audio-visual LLMs, and train on what was curated.

The Python API is in :mod:`avcurate.api`; its names can be taken from here, and are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avcurate.api import (
        Run,
        benchmark_hallucination,
        caption,
        dominance,
        evaluate,
        grade,
        hallucination,
        judge,
        label_pem,
        leak,
        objects,
        open_run,
        pair,
        probe,
        run,
        swap,
        train_on,
    )

__version__ = "0.1.0"
__all__ = [
    "Run",
    "__version__",
    "benchmark_hallucination",
    "caption",
    "dominance",
    "evaluate",
    "grade",
    "hallucination",
    "judge",
    "label_pem",
    "leak",
    "objects",
    "open_run",
    "pair",
    "probe",
    "run",
    "swap",
    "train_on",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'avcurate' has no attribute {name!r}")
    from avcurate import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return __all__
