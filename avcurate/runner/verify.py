"""Checks every file of a run against what was recorded when it was written, and removes what is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.store.atomic import sha256
from avcurate.store.journal import bad_lines
from avcurate.store.manifest import MANIFEST, differences, is_inside, wrong_file, wrong_files
from avcurate.store.parts import Parts

# columns that name a file of the media folder, each with the column of its checksum
_MEDIA = (("media", "media_sha256"), ("clip", "clip_sha256"))


def verify_run(run: RunDir, *, with_media: bool = False, media: Path | None = None) -> dict[str, Any]:
    """Read every part, record and made file of a run.

    Returns:
        ``{"run", "files", "damaged": [{"path", "what", "table", "part"}], "next"}``.

    Raises:
        UserError: there is no run, or the media folder is not there.
    """
    record = run.record()
    damaged: list[dict[str, Any]] = []
    files = 0
    root = run.media(record, media) if with_media else None
    for parts in run.tables(record).values():
        for number in _numbers(parts):
            files += 1
            try:
                commit = parts.commit_of(number)
                assert commit is not None
                files += len(commit.files)
                parts.verify(commit)
                if commit.kept:
                    for path, what in _rows(run, parts, number, root):
                        files += 1
                        if what:
                            damaged.append(_entry(run, path, what, parts, number))
            except UserError as e:
                damaged.append(_entry(run, parts.record_file(number), e.message, parts, number))
    made = record.get("files", {})
    files += len(made)
    damaged += [_loose(name, what) for name, what in differences(run.root, made)]
    for folder in sorted(p.parent for p in run.root.rglob(MANIFEST)):
        files += sum(p.is_file() for p in folder.rglob("*"))
        within = folder.relative_to(run.root)
        damaged += [_loose((within / name).as_posix(), what) for name, what in wrong_files(folder)]
    for journal in sorted(run.root.glob("journal/*/*.jsonl")):
        files += 1
        if bad := bad_lines(journal):
            name = journal.relative_to(run.root).as_posix()
            damaged.append(_loose(name, f"{bad} of its lines are damaged; what they held is asked again."))
    for name in run.short(record):
        parts = run.tables(record)[name]
        folder = run.root / parts.name
        damaged.append(_entry(run, folder, "records of parts are missing.", parts, _first_gap(parts)))
    hint = (
        f"Remove what is damaged with: avcurate verify {run.root} --discard-damaged. Then run the same command again."
    )
    return {"run": str(run.root), "files": files, "damaged": damaged, "next": hint}


def refuse_damaged_files(run: RunDir, table: str) -> None:
    """Refuse a run whose made files are not what was made.

    Raises:
        UserError: one is missing or changed.
    """
    parts = run.parts(table)
    for number in _numbers(parts):
        for path, what in _rows(run, parts, number, None):
            if what:
                raise UserError(f"{path} {what}", f"See avcurate verify {run.root}, then run `avcurate {table}` again.")


def discard(run: RunDir, found: dict[str, Any]) -> None:
    """Remove damaged parts, with those that were built on them, and damaged files: the same command remakes them."""
    tables = list(run.tables(run.record()).values())
    for item in found["damaged"]:
        path = run.root / item["path"]
        # a clip of the user's, or what a foreign record names, is left alone: what was made of it is removed
        mine = is_inside(path, run.root) and path.is_file()
        if item["table"] is None:
            if mine and path != run.record_file:
                path.unlink()
            continue
        if mine and path != Parts(run.root, item["table"]).record_file(item["part"]):
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)
        reached = False
        for parts in tables:
            reached = reached or parts.name == item["table"]
            if reached:
                parts.remove(item["part"])
    record = run.record()
    if found["damaged"]:
        for stage in record["stages"].values():
            stage.pop("complete", None)
        record.pop("complete", None)
        run.save(record)


def _first_gap(parts: Parts) -> int:
    present = set(_numbers(parts))
    return next(n for n in range(len(present) + 1) if n not in present)


def _numbers(parts: Parts) -> list[int]:
    return [int(p.stem.split("-")[1]) for p in sorted((parts.root / parts.name).glob("part-*.json"))]


def _rows(run: RunDir, parts: Parts, number: int, media: Path | None) -> Iterator[tuple[Path, str]]:
    """Files that the rows of a part name, and what is wrong with each; empty where nothing is."""
    import pyarrow.parquet as pq

    names = set(pq.read_schema(parts.file(number)).names)
    if "files" in names:
        for row in parts.read(number, columns=["files"]).to_pylist():
            for made in row["files"] or []:
                yield run.root / made["path"], wrong_file(run.root, made["path"], made["sha256"])
    for column, digest in _MEDIA:
        if media is not None and digest in names:
            pairs = parts.read(number, columns=[column, digest]).to_pylist()
            for name, wanted in {(r[column], r[digest]) for r in pairs if r[column] and r[digest]}:
                if wrong := _wrong(media / name, wanted):
                    yield media / name, wrong


def _wrong(path: Path, wanted: str) -> str:
    try:
        return "" if sha256(path) == wanted else "its bytes are not those that were recorded."
    except OSError:
        return "is missing."


def _loose(path: str, what: str) -> dict[str, Any]:
    return {"path": path, "what": what, "table": None, "part": None}


def _entry(run: RunDir, path: Path, what: str, parts: Parts, number: int) -> dict[str, Any]:
    shown = path.relative_to(run.root).as_posix() if path.is_relative_to(run.root) else str(path)
    return {"path": shown, "what": what, "table": parts.name, "part": number}
