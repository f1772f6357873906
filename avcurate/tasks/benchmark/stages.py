"""The plan of a benchmark's questions, and its clips."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from avcurate.media.edit import Edit, Made, edit_of, make_edit, target_suffix
from avcurate.media.folder import MediaFolder
from avcurate.media.probe import read_packets
from avcurate.media.swap import SwapSpec
from avcurate.runner.isolate import in_threads
from avcurate.runner.stage import Filtered, Kept, Outcome, Row, Stage, Tick, WholeStage, WorkLog
from avcurate.schema import columns_schema
from avcurate.schema_benchmark import ITEM, MADE_CLIP
from avcurate.store.digest import file_digest
from avcurate.store.made import made_before, record_made
from avcurate.tasks.benchmark.gather import read_aliases
from avcurate.tasks.benchmark.knowledge import World
from avcurate.tasks.benchmark.lone import Lone
from avcurate.tasks.benchmark.pairs import Pairs
from avcurate.tasks.benchmark.recipe import HallucinationBenchmarkRecipe
from avcurate.tasks.records import content_of

FOLDER = "benchmark"
CLIPS = "clips"
MADE_VERSION = 1
WHY = {
    "absence_unknown": "nothing says that it is absent",
    "too_near": "it may be another word for something that is there",
    "named_in_caption": "a caption of the clip names it",
    "unbalanced": "the same answer for this name would be more frequent than the other, or a cap was reached",
    "too_few_distractors": "fewer than three things are certainly absent",
    "clip_has_enough": "the clip has its maximum of questions",
    "no_donor": "no clip of another source differs enough",
    "clip_too_short": "it is too short for this edit",
    "times_unknown": "nothing says when things sound or that its tracks are in step",
    "too_short_or_too_still": "no stretch of it moves, or is lit, throughout",
    "too_short_or_too_quiet": "no stretch of it sounds throughout",
}


class PlanStage(WholeStage):
    """The table ``plan``: one row for each question; what was not asked is filtered, with the reason."""

    name = "plan"
    version = 1
    key = "item_id"

    def __init__(self, recipe: HallucinationBenchmarkRecipe) -> None:
        self.recipe = recipe
        self.adds = columns_schema("plan", ITEM)

    def identity(self) -> dict[str, Any]:
        """Tasks, edits, caps, seed and aliases; not the title or version, which only the card has."""
        left_out = {"kind", "name", "about", "input", "run", "title", "version", "licence", "low_score"}
        kept = self.recipe.model_dump(mode="json", exclude=left_out)
        return {"recipe": kept, "aliases": content_of(self.recipe.input.aliases)}

    def process(self, rows: Iterator[pa.Table], tick: Tick) -> Iterator[tuple[Row, Outcome]]:
        """Plan lone questions, then pairs."""
        every = (row for table in rows for row in table.to_pylist())
        world = World.of(every, read_aliases(self.recipe.input.aliases))
        lone, pairs = Lone(world, self.recipe), Pairs(world, self.recipe)
        seen: set[str] = set()
        for made in (lone, pairs):
            for item in made.items():
                # two edits of a clip may share a twin, and a question about it
                if item.id not in seen:
                    seen.add(item.id)
                    row = item.row()
                    yield {"item_id": row["item_id"], "row": row["row"]}, Kept(row)
            for clip, task, name, reason in made.refused:
                key = hashlib.sha256(f"{clip.name}\x1f{task}\x1f{name}\x1f{reason}".encode()).hexdigest()[:16]
                if key in seen:
                    continue
                seen.add(key)
                about = f"{task} {name!r}" if name else task
                yield (
                    {"item_id": key, "row": clip.row["row"]},
                    Filtered(reason, f"{clip.name}: {about}: {WHY[reason]}."),
                )


class MakeStage(Stage):
    """Columns added: ``schema.MADE_CLIP``. Files are named by their inputs, and written once.

    Args:
        recipe: the media folder, and how many files are written in parallel.
        out: the benchmark's folder.
    """

    name = "make"
    version = 1
    key = "item_id"

    def __init__(self, recipe: HallucinationBenchmarkRecipe, out: Path) -> None:
        self.out, self.workers = out, recipe.run.threads
        self.folder = MediaFolder(recipe.input.media) if recipe.input.media is not None else None
        self.adds = columns_schema("make", MADE_CLIP)
        self.maker = Maker(self.folder.root, out) if self.folder is not None else None

    def identity(self) -> dict[str, Any]:
        """Whether files are made."""
        return {"made": self.maker is not None, "version": MADE_VERSION}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Make each item's clip, several in parallel."""
        if self.maker is None:
            nothing = dict.fromkeys(self.adds.names)
            return ((self.row_id(row), Kept(dict(nothing))) for row in rows)
        return in_threads(rows, self.workers, self.row_id, self._make)

    def files(self, row: Row) -> list[tuple[Path, str]]:
        """The clips it is made of, and the file made of them."""
        if self.folder is None or row["file"] is None:
            return []
        sources = [(self.folder.root / row["media"], row["media_sha256"])]
        if row["donor_media"] is not None:
            sources.append((self.folder.root / row["donor_media"], row["donor_sha256"]))
        return [*sources, (self.out / row["file"], row["file_sha256"])]

    def _make(self, row: Row) -> Outcome:
        assert self.maker is not None
        edit = edit_of(json.loads(row["edit_spec"]))
        donor = (row["donor_media"], row["donor_sha256"]) if row["donor_media"] is not None else None
        name, made = self.maker.make(edit, (row["media"], row["media_sha256"]), donor)
        return Kept({"file": name, "file_sha256": file_digest(self.out / name), "copied_sha256": made.copied_sha256})


class Maker:
    """Makes a benchmark's clips from a folder of originals; a file that is there and whole is not made again.

    Args:
        originals: folder of the clips; out: the benchmark's folder.
    """

    def __init__(self, originals: Path, out: Path) -> None:
        self.originals, self.out = originals, out
        self._locks = [threading.Lock() for _ in range(64)]

    def make(self, edit: Edit, clip: tuple[str, str], donor: tuple[str, str] | None) -> tuple[str, Made]:
        """Name of the file, relative to the benchmark, and its facts.

        Args:
            edit: what is done; clip: path in the folder of originals, and its SHA-256; donor: the same of the donor.

        Raises:
            MediaError: see ``media.edit.make_edit``.
        """
        picture = self.originals / clip[0]
        packets = read_packets(picture)
        content = [edit.record(), clip[1], donor[1] if donor else None, MADE_VERSION]
        # nothing in the name tells what was done
        stem = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]
        name = f"{CLIPS}/{stem}{target_suffix(edit, picture, packets.sound_codec)}"
        target = self.out / name
        facts = self.out / ".facts" / f"{stem}.json"
        with self._locks[hash(stem) % len(self._locks)]:
            if (existing := made_before(facts, target, Made)) is not None:
                return name, existing
            other = self.originals / donor[0] if donor else None
            made = make_edit(edit, picture, other, target, SwapSpec(), {}, packets)
            record_made(facts, target, asdict(made))
        return name, made
