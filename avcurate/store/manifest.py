"""A folder with a list of its files and their checksums, written last: one without a list is incomplete."""

from __future__ import annotations

import json
from pathlib import Path

from avcurate.store.atomic import sha256, write_json

MANIFEST = "files.json"


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path from there; the manifest itself is left out."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def seal(folder: Path) -> None:
    """Write the manifest of a complete folder."""
    write_json(folder / MANIFEST, digests(folder))


def sealed(folder: Path) -> bool:
    """Whether the folder is complete: a process killed before leaves no manifest."""
    return (folder / MANIFEST).is_file()


def wrong_files(folder: Path) -> list[tuple[str, str]]:
    """(relative path, what is wrong) of each file that is missing, changed or unlisted, the manifest too."""
    try:
        listed = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return [(MANIFEST, "is missing or cannot be read.")]
    if not isinstance(listed, dict):
        return [(MANIFEST, "is not a list of files.")]
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST}
    unlisted = [(name, "is not in the list of files.") for name in sorted(present - listed.keys())]
    return differences(folder, listed) + unlisted


def differences(folder: Path, listed: dict[str, str]) -> list[tuple[str, str]]:
    """(relative path, what is wrong) of each listed file that is missing or changed."""
    return [(name, what) for name, wanted in listed.items() if (what := wrong_file(folder, name, wanted))]


def wrong_file(folder: Path, name: str, wanted: object) -> str:
    """What is wrong with a listed file; empty where nothing is. No list may name files of other folders."""
    path = folder / str(name)
    if not is_inside(path, folder):
        return "lies outside the folder that lists it, and was not checked."
    try:
        # a device or a pipe would never end
        return "" if path.is_file() and sha256(path) == wanted else _why(path)
    except (OSError, ValueError):
        return "is missing."


def _why(path: Path) -> str:
    return "its bytes differ from those recorded." if path.is_file() else "is missing, or not a file."


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder once links are followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        return False
