"""Facts beside a file that took work to make, so that it is made once and a changed one is made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from avcurate.store.atomic import write_json
from avcurate.store.digest import file_digest, intact

T = TypeVar("T")


def made_before(facts: Path, target: Path, kind: Callable[..., T]) -> T | None:
    """What was recorded of a file when it was made, as ``kind``; ``None`` if there is no such file, or other bytes."""
    try:
        values: dict[str, Any] = json.loads(facts.read_text("utf-8"))
        digest = values.pop("sha256")
        return kind(**values) if intact(target, digest) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def record_made(facts: Path, target: Path, values: dict[str, Any]) -> None:
    """Record a file that was just made."""
    write_json(facts, values | {"sha256": file_digest(target)})
