"""Make counterfactual clips and their factual twins from a table of pairs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from avcurate.errors import MediaError, RowError
from avcurate.media.commands import suffix_of
from avcurate.media.folder import MediaFolder
from avcurate.media.swap import Swapped, SwapSpec, keep_one, swap
from avcurate.runner.isolate import in_threads
from avcurate.runner.stage import Kept, Outcome, Row, WorkLog
from avcurate.schema import SWAP, columns_schema
from avcurate.store.digest import file_digest
from avcurate.store.made import made_before, record_made
from avcurate.tasks.records import RecordStage
from avcurate.tasks.swap.recipe import SwapRecipe

FIELDS = ("clip", "donor")
KINDS = ("counterfactual", "factual", "silent", "audio_only", "video_only")


class SwapStage(RecordStage):
    """Columns added: ``schema.SWAP``. Files are named by their inputs, and written once.

    Args:
        recipe: what to make of each pair.
        run: the run directory, which receives the files.
    """

    name = "swap"
    version = 3

    def __init__(self, recipe: SwapRecipe, run: Path) -> None:
        super().__init__(recipe.input.columns, FIELDS)
        assert recipe.input.media is not None
        self.recipe, self.out = recipe, run
        self.adds = columns_schema("swap", SWAP)
        self.media = MediaFolder(recipe.input.media)
        self.donors = MediaFolder(recipe.input.donors or recipe.input.media)
        self.spec = SwapSpec(recipe.fit, recipe.match_loudness, recipe.least_seconds, recipe.timeout_s)
        self._locks = [threading.Lock() for _ in range(64)]

    def identity(self) -> dict[str, Any]:
        """How sounds are fitted, and which files are written."""
        spec = asdict(self.spec)
        del spec["timeout_s"]
        outputs = {k: getattr(self.recipe, k) for k in ("twins", "silent", "audio_only", "video_only")}
        return {"columns": self.columns, "spec": spec, **outputs}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Make every pair's files, several pairs in parallel."""
        return in_threads(rows, self.recipe.run.threads, self.row_id, self._outcome)

    def files(self, row: Row) -> list[tuple[Path, str]]:
        """The clip, the donor, and the files made of them."""
        clip = (self.media.root / row["clip"], row["clip_sha256"])
        donor = (self.donors.root / row["donor"], row["donor_sha256"])
        return [clip, donor, *((self.out / f["path"], f["sha256"]) for f in row["files"])]

    def _outcome(self, row: Row) -> Outcome:
        return Kept(self._row(self.raw(row)))

    def _row(self, raw: Row) -> Row:
        clip = self.media.find(self._name(raw, "clip"))
        donor = self.donors.find(self._name(raw, "donor"))
        picture, sound = self.media.root / clip, self.donors.root / donor
        digests = {"clip_sha256": file_digest(picture), "donor_sha256": file_digest(sound)}
        if digests["clip_sha256"] == digests["donor_sha256"]:
            raise RowError("donor_is_the_clip", f"{clip} is its own donor.", "Choose another donor.")
        make = partial(self._make, picture, digests["clip_sha256"])
        name, swapped = make("counterfactual", sound, digests["donor_sha256"], {"clip": clip, "donor": donor})
        row: Row = {
            "clip": clip,
            "donor": donor,
            "counterfactual": name,
            "factual": None,
            "silent": None,
            "audio_only": None,
            "video_only": None,
            "seconds": swapped.seconds,
            "fitted": swapped.fitted,
            "gain_db": swapped.gain_db,
            "picture_sha256": swapped.picture_sha256,
            **digests,
        }
        if self.recipe.twins:
            row["factual"] = self._twin(make, picture, digests["clip_sha256"], clip)
        if self.recipe.silent:
            row["silent"] = make("silent", None, "", {"clip": clip})[0]
        note = {"clip": clip, "donor": donor}
        if self.recipe.audio_only:
            row["audio_only"] = self._single(name, "audio_only", note)
        if self.recipe.video_only:
            row["video_only"] = self._single(name, "video_only", {"clip": clip})
        paths = [row[kind] for kind in KINDS if row[kind]]
        row["files"] = [{"path": path, "sha256": file_digest(self.out / path)} for path in paths]
        return row

    def _single(self, counterfactual: str, kind: Literal["audio_only", "video_only"], note: dict[str, str]) -> str:
        """One stream of a counterfactual clip, copied."""
        source = self.out / counterfactual
        suffixes = {".mp4": ".m4a", ".mkv": ".mka"} if kind == "audio_only" else {}
        target = f"{kind}/{source.stem}{suffixes.get(source.suffix, source.suffix)}"
        stream: Literal["audio", "visual"] = "audio" if kind == "audio_only" else "visual"
        keep_one(source, self.out / target, stream, self.spec, {"avcurate": kind, **note})
        return target

    def _twin(self, make: Any, picture: Path, digest: str, clip: str) -> str | None:
        try:
            name: str = make("factual", picture, digest, {"clip": clip})[0]
        except MediaError as e:
            # a clip without usable sound has no twin, but its picture is fine
            if e.reason in ("donor_without_audio", "donor_too_short"):
                return None
            raise
        return name

    def _make(
        self, picture: Path, clip_digest: str, kind: str, donor: Path | None, donor_digest: str, about: dict[str, str]
    ) -> tuple[str, Swapped]:
        """Make one file, named by the content of its inputs; its facts are stored beside it and reused."""
        spec = asdict(self.spec)
        del spec["timeout_s"]
        content = json.dumps([kind, clip_digest, donor_digest, spec, 1], sort_keys=True)
        stem = hashlib.sha256(content.encode()).hexdigest()[:20]
        target = self.out / kind / f"{stem}{suffix_of(picture)}"
        facts = target.with_name(f"{stem}.json")
        # pairs with the same clip share its twin
        with self._locks[hash(target) % len(self._locks)]:
            if (existing := made_before(facts, target, Swapped)) is not None:
                return f"{kind}/{target.name}", existing
            swapped = swap(picture, donor, target, self.spec, {"avcurate": kind, **about})
            record_made(facts, target, asdict(swapped))
        return f"{kind}/{target.name}", swapped

    def _name(self, raw: Row, field_name: str) -> str:
        column = self.columns[field_name]
        value = raw.get(column)
        if not isinstance(value, str) or not value.strip():
            raise RowError("field_missing", f"column {column!r} holds no {field_name}.")
        return value.strip()
