"""A published benchmark made again from the user's own clips, and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.errors import MediaError, UserError
from avcurate.media.edit import NEEDS_DONOR, edit_of
from avcurate.media.folder import refuse_name
from avcurate.sources.benchmark_folder import MANIFEST, QUESTIONS
from avcurate.store.digest import file_digest, intact
from avcurate.tasks.benchmark.lmms import write_lmms
from avcurate.tasks.benchmark.publish import FORMAT, digest_of
from avcurate.tasks.benchmark.stages import MADE_VERSION, Maker

GOOD = ("unchanged", "made")
BAD = ("original_missing", "original_changed", "not_made", "differs", "missing", "changed")


@dataclass(frozen=True)
class Checked:
    """One file of a benchmark.

    Attributes:
        file: relative to the benchmark.
        state: one of ``GOOD`` and ``BAD``; ``differs``: made, but with other bytes, as another ffmpeg would.
        message: what is wrong; empty if nothing is.
    """

    file: str
    state: str
    message: str = ""


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a benchmark.

    Raises:
        UserError: the folder holds none, one of another version, or questions that it does not name.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        names = [n for f in manifest["files"] for n in (f["file"], f["clip"], f["donor"]) if n is not None]
        if not all(isinstance(n, str) for n in names):
            raise ValueError("a name is not text")
        for f in manifest["files"]:
            edit = edit_of(f["edit"])
            if edit.name in NEEDS_DONOR and f["donor"] is None:
                raise ValueError(f"{edit.name} needs a donor")
        made_with = manifest["made_with"]
        stated, now = str(manifest["digest"]), digest_of(folder, manifest)
        current = manifest["format"] == FORMAT and made_with["edits"] == MADE_VERSION
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{folder} is no benchmark: {MANIFEST} or {QUESTIONS} is missing or broken.",
            "Give the folder `benchmark` of a run of `avcurate benchmark hallucination`.",
        ) from None
    if not current:
        raise UserError(
            f"{folder} was made by avcurate {made_with.get('avcurate')}, which made clips in another way.",
            "Use that version to make its clips again.",
        )
    if stated != now:
        raise UserError(
            f"{folder}: its questions or its list of files were changed: digest {now[:12]}, not {stated[:12]}.",
            "Fetch the benchmark again.",
        )
    for name in names:
        refuse_name(name)
    return manifest


def verify(folder: Path, originals: Path | None, workers: int = 2) -> Iterator[Checked]:
    """Whether every clip of a benchmark, and with ``originals`` every clip that it is made of, is as it was.

    Raises:
        UserError: see :func:`read_manifest`.
    """

    def check(entry: dict[str, Any]) -> Checked:
        name, path = entry["file"], folder / entry["file"]
        if originals is not None and (wrong := _wrong_original(entry, originals)) is not None:
            return wrong
        if not path.is_file():
            return Checked(name, "missing", f"{path} does not exist.")
        if not intact(path, entry["sha256"]):
            return Checked(name, "changed", f"{path} is not the file that the manifest names.")
        return Checked(name, "unchanged")

    return _in_threads(read_manifest(folder)["files"], check, workers)


def rebuild(folder: Path, originals: Path, workers: int = 2) -> Iterator[Checked]:
    """Make every clip of a benchmark that is missing or changed from the originals.

    Raises:
        UserError: see :func:`read_manifest`; the folder of originals does not exist.
    """
    manifest = read_manifest(folder)
    if not originals.is_dir():
        raise UserError(f"the media folder {originals} does not exist.", "Give the folder of the originals.")
    maker = Maker(originals, folder)
    # it names the questions by their place, which may be another now
    write_lmms(folder, manifest["title"])

    def make(entry: dict[str, Any]) -> Checked:
        name, path = entry["file"], folder / entry["file"]
        if intact(path, entry["sha256"]):
            return Checked(name, "unchanged")
        if (wrong := _wrong_original(entry, originals)) is not None:
            return wrong
        donor = (entry["donor"], entry["donor_sha256"]) if entry["donor"] else None
        try:
            made, _ = maker.make(edit_of(entry["edit"]), (entry["clip"], entry["clip_sha256"]), donor)
        except MediaError as e:
            return Checked(name, "not_made", str(e))
        if made != name or file_digest(folder / made) != entry["sha256"]:
            return Checked(name, "differs", f"{made} was made, but not with the same bytes: another build of ffmpeg?")
        return Checked(name, "made")

    return _in_threads(manifest["files"], make, workers)


def _wrong_original(entry: dict[str, Any], originals: Path) -> Checked | None:
    for name, digest in ((entry["clip"], entry["clip_sha256"]), (entry["donor"], entry["donor_sha256"])):
        if name is None:
            continue
        path = originals / name
        if not path.is_file():
            return Checked(entry["file"], "original_missing", f"{path} does not exist.")
        if not intact(path, digest):
            return Checked(entry["file"], "original_changed", f"{path} is not the clip that this was made of.")
    return None


def _in_threads(
    entries: list[dict[str, Any]], work: Callable[[dict[str, Any]], Checked], workers: int
) -> Iterator[Checked]:
    with ThreadPoolExecutor(workers, thread_name_prefix="clip") as pool:
        yield from pool.map(work, entries)
