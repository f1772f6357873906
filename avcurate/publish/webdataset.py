"""WebDataset shards: tar files in which each question's row and clip stand next to each other, to be streamed."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from avcurate.errors import MediaError, UserError
from avcurate.media.folder import refuse_name

SHARD_BYTES = 1 << 30


def write_webdataset(tables: Iterator[pa.Table], media: Path, folder: Path, split: str) -> int:
    """Write ``<split>-NNNNN.tar`` of about a gibibyte; returns the rows written.

    The same rows and clips give the same bytes. A member is named by the question's id: ``<id>.json`` and ``<id>.mp4``
    (or whatever the clip's ending is).

    Raises:
        UserError: a clip is not in the media folder.
    """
    shard, rows = _Shard(folder, split), 0
    try:
        for table in tables:
            for row in table.to_pylist():
                shard.add(row, _clip(media, row))
                rows += 1
    finally:
        shard.close()
    return rows


def _clip(media: Path, row: dict[str, Any]) -> Path:
    try:
        refuse_name(row["media"])
    except MediaError as e:
        raise UserError(f"question {row['question_id']}: {e}", "Export without media.") from None
    path: Path = media / row["media"]
    if not path.is_file():
        raise UserError(f"question {row['question_id']}: {path} is not there.", "Give the clips' folder with --media.")
    return path


class _Shard:
    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split, self.number, self.size = folder, split, 0, 0
        self.tar: tarfile.TarFile | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, row: dict[str, Any], clip: Path) -> None:
        """Write a row and its clip, in a new file where this one is full."""
        if self.tar is None or self.size >= SHARD_BYTES:
            self.close()
            self.tar = tarfile.open(self.folder / f"{self.split}-{self.number:05d}.tar", "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
            self.number, self.size = self.number + 1, 0
        text = json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
        self._member(f"{row['question_id']}.json", len(text), io.BytesIO(text))
        with clip.open("rb") as f:
            self._member(f"{row['question_id']}{clip.suffix.lower() or '.bin'}", clip.stat().st_size, f)

    def _member(self, name: str, size: int, content: Any) -> None:
        # no owner, no time: the same content gives the same bytes
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o644
        assert self.tar is not None
        self.tar.addfile(member, content)
        self.size += size

    def close(self) -> None:
        """End the file that is being written."""
        if self.tar is not None:
            self.tar.close()
            self.tar = None
