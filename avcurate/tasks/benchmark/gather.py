"""Evidence by clip: records read, merged, and compared with each other; and what the clips' files hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from avcurate.errors import UserError
from avcurate.media.decode import SAMPLE_RATE, DecodedClip, DecodeSpec, decode
from avcurate.media.fingerprint import fingerprint
from avcurate.media.folder import MediaFolder
from avcurate.runner.isolate import in_threads
from avcurate.runner.source import Source
from avcurate.runner.stage import Dead, Filtered, Kept, Outcome, Row, Stage, Tick, WholeStage, WorkLog
from avcurate.schema import arrow_schema, columns_schema
from avcurate.schema_benchmark import CLIP_FACTS, EVIDENCE
from avcurate.sources.evidence import FIELDS, Evidence, read_evidence
from avcurate.sources.records import Record, read_records
from avcurate.tasks.records import content_of

HALF = 0.5
LOOK = DecodeSpec(fps=4.0, max_frames=480, max_pixels=4096, max_seconds=120.0)
MODALITIES = {"": set[str](), "audio": {"audio"}, "video": {"video"}, "both": {"audio", "video"}}


class EvidenceSource(Source):
    """Records of evidence; a clip may have several."""

    name, table, key = "evidence", "evidence", "row"

    def __init__(self, path: Path, columns: dict[str, str], salvage: bool = False) -> None:
        unknown = set(columns) - set(FIELDS)
        if unknown:
            raise UserError(f"there is no field {sorted(unknown)[0]!r}.", f"Fields are: {', '.join(FIELDS)}.")
        self.path, self.columns, self.salvage = path, columns, salvage
        self.rows: pa.Schema = arrow_schema("evidence")

    def identity(self) -> dict[str, Any]:
        """Content of the file, and its columns."""
        return {"evidence": content_of(self.path), "columns": self.columns}

    def records(self) -> Iterator[Record]:
        """The file's records."""
        return read_records(self.path, salvage=self.salvage)

    def read(self, record: Record) -> Outcome:
        """What a record says."""
        return Kept(_row(read_evidence(record, self.columns)))


def _row(e: Evidence) -> Row:
    return {
        "clip": e.clip,
        "row": e.row,
        "records": [e.row],
        "source": e.source,
        "heard": list(e.heard),
        "seen": list(e.seen),
        "not_heard": list(e.not_heard),
        "not_seen": list(e.not_seen),
        "exhaustive": e.exhaustive,
        "audio_captions": list(e.audio),
        "video_captions": list(e.video),
        "events": [{"name": x.name, "start": x.start, "end": x.end} for x in e.events],
        "synchronised": e.synchronised,
    }


class MergeStage(WholeStage):
    """One row per clip, with all that its records say; contradictions are dead rows.

    Args:
        seen: for each clip what a detector saw, and what it certainly did not see; see ``--objects``.
        about: what ``seen`` depends on.
    """

    name = "merged"
    version = 1
    key = "clip"
    by_records = True

    def __init__(self, seen: dict[str, tuple[set[str], set[str]]] | None = None, about: str = "") -> None:
        self.seen, self.about = seen or {}, about
        self.adds = columns_schema("merged", EVIDENCE)

    def identity(self) -> dict[str, Any]:
        """The detections."""
        return {"objects": self.about} if self.about else {}

    def process(self, rows: Iterator[pa.Table], tick: Tick) -> Iterator[tuple[Row, Outcome]]:
        """Merge by clip, in the order of first records."""
        clips: dict[str, Row] = {}
        for table in rows:
            for row in table.to_pylist():
                kept = clips.setdefault(row["clip"], row)
                if kept is not row:
                    _merge(kept, row)
        for i, (name, row) in enumerate(clips.items(), 1):
            if name in self.seen:
                there, absent = self.seen[name]
                row["seen"] = sorted({*row["seen"], *there})
                row["not_seen"] = sorted({*row["not_seen"], *(absent - set(row["seen"]))})
            yield {"clip": name, "row": row["row"], "records": row["records"]}, _checked(row)
            tick(i, len(clips))


def _merge(into: Row, row: Row) -> None:
    for field in ("heard", "seen", "not_heard", "not_seen", "audio_captions", "video_captions", "records"):
        into[field] = list(dict.fromkeys([*into[field], *row[field]]))
    into["events"] += row["events"]
    into["synchronised"] |= row["synchronised"]
    # a list is complete if every record says so: one that does not may stem from a source that knows less
    both = MODALITIES[into["exhaustive"]] & MODALITIES[row["exhaustive"]]
    into["exhaustive"] = next(k for k, v in MODALITIES.items() if v == both)


def _checked(row: Row) -> Outcome:
    for there, absent in (("heard", "not_heard"), ("seen", "not_seen")):
        clash = sorted(set(row[there]) & set(row[absent]))
        if clash:
            return Dead(
                "contradictory_evidence",
                f"{row['clip']}: {clash[0]!r} is both {there} and {absent.replace('_', ' ')}.",
                "Decide which of its records is right.",
            )
    if not (row["heard"] or row["seen"] or row["exhaustive"] or row["audio_captions"] or row["video_captions"]):
        return Filtered("no_evidence", f"{row['clip']}: nothing is known to be heard or seen.")
    return Kept(row)


class LookStage(Stage):
    """Columns added: ``schema.CLIP_FACTS``; all null if no media folder is given."""

    name = "looked"
    version = 1
    key = "clip"

    def __init__(self, media: Path | None, workers: int) -> None:
        self.folder = MediaFolder(media) if media is not None else None
        self.workers = workers
        self.adds = columns_schema("looked", CLIP_FACTS)

    def identity(self) -> dict[str, Any]:
        """Whether media are read."""
        return {"looked": self.folder is not None}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Levels, motion and light over time, several clips in parallel."""
        if self.folder is None:
            nothing = dict.fromkeys(self.adds.names)
            return ((self.row_id(row), Kept(dict(nothing))) for row in rows)
        return in_threads(rows, self.workers, self.row_id, self._look)

    def files(self, row: Row) -> list[tuple[Path, str]]:
        """The clip."""
        if self.folder is None or row["media"] is None:
            return []
        return [(self.folder.root / row["media"], row["media_sha256"])]

    def _look(self, row: Row) -> Outcome:
        assert self.folder is not None
        media = self.folder.find(row["clip"])
        clip = decode(self.folder.root / media, LOOK)
        if clip.frames is None:
            return Filtered("no_picture", f"{media} has no picture.")
        if clip.audio is None or not len(clip.audio):
            return Filtered("no_audio_track", f"{media} has no sound.")
        return Kept({"media": media, "media_sha256": clip.sha256, "seconds": clip.duration, **_facts(clip)})


def _facts(clip: DecodedClip) -> Row:
    assert clip.frames is not None and clip.audio is not None
    size = int(HALF * SAMPLE_RATE)
    blocks = [clip.audio[i : i + size] for i in range(0, len(clip.audio), size)]
    levels = [20 * float(np.log10(np.sqrt(np.mean(np.square(b))) + 1e-9)) for b in blocks]
    grey = clip.frames.astype(np.float32).mean(-1)
    change = np.abs(np.diff(grey, axis=0)).mean((1, 2)) if len(grey) > 1 else np.zeros(1, np.float32)
    per = max(1, round(HALF * clip.fps))
    light = grey.mean((1, 2))
    return {
        "level_db": levels,
        "motion": [float(change[i : i + per].mean()) for i in range(0, len(change), per)],
        "light": [float(light[i : i + per].mean()) for i in range(0, len(light), per)],
        "fingerprint": fingerprint(clip.audio).tolist(),
    }


def read_aliases(path: Path | None) -> dict[str, tuple[str, ...]]:
    """Other words for names.

    Raises:
        UserError: the file is no JSON object of lists of text.
    """
    if path is None:
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
        assert isinstance(data, dict) and all(
            isinstance(v, list) and all(isinstance(w, str) for w in v) for v in data.values()
        )
    except (OSError, ValueError, AssertionError):
        raise UserError(
            f"{path} is not a JSON object of lists of words.", 'For example: {"dog": ["puppy", "hound"]}'
        ) from None
    return {" ".join(k.casefold().split()): tuple(v) for k, v in data.items()}
