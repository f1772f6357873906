"""``objects``: clips in, detections and object sets out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from avcurate.engines.open import open_detector
from avcurate.errors import UserError
from avcurate.media.folder import SUFFIXES, MediaFolder
from avcurate.metrics.vocabulary import load_vocabulary
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.runner.source import Source
from avcurate.runner.stage import Kept, Outcome
from avcurate.schema import arrow_schema
from avcurate.sources.pool import clip_records
from avcurate.sources.records import Record
from avcurate.store.atomic import write_atomic
from avcurate.tasks.base import Context, Task
from avcurate.tasks.objects.recipe import ObjectsRecipe
from avcurate.tasks.objects.stages import DetectStage, ObjectsStage
from avcurate.tasks.records import content_of

if TYPE_CHECKING:
    from rich.console import Console


class ClipSource(Source):
    """Clips of a list with their classes, or every clip of a folder without classes."""

    name, table, key = "clips", "clips", "clip_id"

    def __init__(self, clips: Path | None, media: MediaFolder) -> None:
        self.clips, self.media = clips, media
        self.always_read = clips is None
        self.rows: pa.Schema = arrow_schema("clips")

    def identity(self) -> dict[str, Any]:
        """Content of the list; a folder may grow."""
        return {"clips": "folder" if self.clips is None else content_of(self.clips), **self.media.identity()}

    def records(self) -> Iterator[Record]:
        """The list's clips, or the folder's files sorted by name."""
        if self.clips is not None:
            return clip_records(self.clips)
        root = self.media.root
        files = sorted(
            p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix and p.suffix.lower() in SUFFIXES
        )
        if not files:
            raise UserError(f"{root} contains no clips.", "Give the folder of the clips with --media.")
        return (_clip_record(i, name) for i, name in enumerate(files, 1))

    def read(self, record: Record) -> Outcome:
        """The clip, if its file exists."""
        assert record.value is not None
        raw = record.value
        media = self.media.find(raw["media"])
        return Kept({"clip_id": raw["clip_id"], "row": record.row, "media": media, "labels": raw["labels"]})


def _clip_record(number: int, name: str) -> Record:
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "replace").decode()
        return Record(number, None, "not_utf8", f"the file name {shown!r} is not UTF-8.", shown)
    return Record(number, {"clip_id": name, "media": name, "labels": []})


class Objects(Task[ObjectsRecipe]):
    """Build object sets: the classes a list assigns to a clip, and what a detector sees in it, in one vocabulary.

    Detections are stored with frame, score and box, so changing --threshold needs no detector.

    Examples:

      avcurate objects animal/clips.csv --media clips -o runs/objects

      avcurate objects --media clips -m nanodet.onnx --threshold 0.5 -o runs/objects
    """

    name = "objects"
    recipe = ObjectsRecipe
    default = "objects"

    def plan(self, recipe: ObjectsRecipe, context: Context) -> Job:
        """Clips, detections, object sets."""
        inputs = recipe.input
        assert inputs.media is not None
        if recipe.floor > recipe.threshold:
            raise UserError(
                f"the threshold {recipe.threshold:g} is below the floor {recipe.floor:g}, the minimum score stored.",
                "Lower --floor as well; this runs the detector again.",
            )
        detector = context.detector or open_detector(recipe.model, recipe.revision)
        detect = DetectStage(
            detector,
            inputs.media,
            context.out if recipe.sheets else None,
            frames=recipe.frames,
            seconds=recipe.seconds,
            floor=recipe.floor,
            batch=recipe.batch,
            workers=recipe.run.threads,
        )
        source = ClipSource(inputs.clips, MediaFolder(inputs.media, inputs.media_pattern))
        return Job(source, (detect, ObjectsStage(load_vocabulary(), recipe.threshold)), write_sets)

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Clips per object."""
        from avcurate.tasks.objects.summary import summarise_objects

        return summarise_objects(run)

    def show(self, summary: dict[str, Any], out: Console) -> None:
        """Print the most frequent objects, and names outside the vocabulary."""
        from rich.table import Table

        title = f"{summary['clips']:,} clips"
        table = Table("object", "clips", "only detected", title=title, title_justify="left")
        for name, n in list(summary["objects"].items())[:20]:
            table.add_row(name, f"{n:,}", f"{summary['only_detected'].get(name, 0):,}")
        out.print(table)
        if summary["unmapped"]:
            unmapped = ", ".join(f"{k} ({n})" for k, n in list(summary["unmapped"].items())[:10])
            out.print(f"Not in the vocabulary: {unmapped}")

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """Contact sheets with boxes, beside each clip's object set."""
        from avcurate.tasks.objects.page import write_objects_page

        return write_objects_page(run, summary)


def write_sets(run: RunDir) -> None:
    """Write ``objects.jsonl``: one line per clip, as ``avcurate hallucination --truth`` reads it."""

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8") as f:
            for table in run.parts("objects").rows(columns=["clip_id", "objects"]):
                for row in table.to_pylist():
                    line = {"clip": row["clip_id"], "objects": row["objects"]}
                    f.write(json.dumps(line, ensure_ascii=False) + "\n")

    write_atomic(run.root / "objects.jsonl", write)
