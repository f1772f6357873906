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

# columns that name a file in the media folder, each with the column of its checksum
_MEDIA = (("media", "media_sha256"), ("clip", "clip_sha256"))


def verify_run(run: RunDir, *, with_media: bool = False, media: Path | None = None) -> dict[str, Any]:
    """Read every part, record and output file of a run.

    Returns:
        ``{"run", "files", "damaged": [{"path", "what", "table", "part"}], "next"}``.

    Raises:
        UserError: there is no run, or the media folder is missing.
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
                    for path, what in _row_files(run, parts, number, root):
                        files += 1
                        if what:
                            damaged.append(_part_entry(run, path, what, parts, number))
            except UserError as e:
                damaged.append(_part_entry(run, parts.record_file(number), e.message, parts, number))
    outputs = record.get("files", {})
    files += len(outputs)
    damaged += [_file_entry(name, what) for name, what in differences(run.root, outputs)]
    for folder in sorted(p.parent for p in run.root.rglob(MANIFEST)):
        files += sum(p.is_file() for p in folder.rglob("*"))
        within = folder.relative_to(run.root)
        damaged += [_file_entry((within / name).as_posix(), what) for name, what in wrong_files(folder)]
    for journal in sorted(run.root.glob("journal/*/*.jsonl")):
        files += 1
        if bad := bad_lines(journal):
            name = journal.relative_to(run.root).as_posix()
            damaged.append(_file_entry(name, f"{bad} of its lines are damaged; their work is repeated."))
    for name in run.short(record):
        parts = run.tables(record)[name]
        folder = run.root / parts.name
        damaged.append(_part_entry(run, folder, "commit records are missing.", parts, _first_gap(parts)))
    hint = (
        f"Remove what is damaged with: avcurate verify {run.root} --discard-damaged. Then run the same command again."
    )
    return {"run": str(run.root), "files": files, "damaged": damaged, "next": hint}


def refuse_damaged_files(run: RunDir, table: str) -> None:
    """Refuse a run whose output files are not what was written.

    Raises:
        UserError: one is missing or changed.
    """
    parts = run.parts(table)
    for number in _numbers(parts):
        for path, what in _row_files(run, parts, number, None):
            if what:
                raise UserError(f"{path} {what}", f"See avcurate verify {run.root}, then run `avcurate {table}` again.")


def discard(run: RunDir, found: dict[str, Any]) -> None:
    """Remove damaged parts, those built on them, and damaged files: the same command rebuilds them."""
    tables = list(run.tables(run.record()).values())
    for item in found["damaged"]:
        path = run.root / item["path"]
        # a user's clip, or a file outside the run, is left alone: what was made from it is removed
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


def _row_files(run: RunDir, parts: Parts, number: int, media: Path | None) -> Iterator[tuple[Path, str]]:
    """Files that the rows of a part name, and what is wrong with each; empty where nothing is."""
    import pyarrow.parquet as pq

    names = set(pq.read_schema(parts.file(number)).names)
    if "files" in names:
        for row in parts.read(number, columns=["files"]).to_pylist():
            for output in row["files"] or []:
                yield run.root / output["path"], wrong_file(run.root, output["path"], output["sha256"])
    for column, digest in _MEDIA:
        if media is not None and digest in names:
            pairs = parts.read(number, columns=[column, digest]).to_pylist()
            for name, wanted in {(r[column], r[digest]) for r in pairs if r[column] and r[digest]}:
                if fault := _fault(media / name, wanted):
                    yield media / name, fault


def _fault(path: Path, wanted: str) -> str:
    try:
        return "" if sha256(path) == wanted else "its bytes differ from those recorded."
    except OSError:
        return "is missing."


def _file_entry(path: str, what: str) -> dict[str, Any]:
    return {"path": path, "what": what, "table": None, "part": None}


def _part_entry(run: RunDir, path: Path, what: str, parts: Parts, number: int) -> dict[str, Any]:
    shown = path.relative_to(run.root).as_posix() if path.is_relative_to(run.root) else str(path)
    return {"path": shown, "what": what, "table": parts.name, "part": number}
