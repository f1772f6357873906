"""A table of pairs becomes counterfactual clips and their factual twins."""

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
from avcurate.media.folder import MediaFolder
from avcurate.media.swap import Swapped, SwapSpec, keep_one, suffix_of, swap
from avcurate.runner.isolate import in_threads
from avcurate.runner.stage import Kept, Outcome, Row, WorkLog
from avcurate.schema import SWAP, columns_schema
from avcurate.store.atomic import write_json
from avcurate.store.digest import file_digest, intact
from avcurate.tasks.records import RecordStage
from avcurate.tasks.swap.recipe import SwapRecipe

FIELDS = ("clip", "donor")
KINDS = ("counterfactual", "factual", "silent", "audio_only", "video_only")


class SwapStage(RecordStage):
    """Columns added: ``schema.SWAP``. Files are named by what they are made of, and made once.

    Args:
        recipe: what is made of each pair.
        run: the run directory, where files go.
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
        """How sounds are fitted, and which files are made."""
        spec = asdict(self.spec)
        del spec["timeout_s"]
        made = {k: getattr(self.recipe, k) for k in ("twins", "silent", "audio_only", "video_only")}
        return {"columns": self.columns, "spec": spec, **made}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Make every pair's files, several pairs side by side."""
        return in_threads(rows, self.recipe.run.workers, self.row_id, self._outcome)

    def files(self, row: Row) -> list[tuple[Path, str]]:
        """The clip, the donor, and what was made of them."""
        clip = (self.media.root / row["clip"], row["clip_sha256"])
        donor = (self.donors.root / row["donor"], row["donor_sha256"])
        return [clip, donor, *((self.out / f["path"], f["sha256"]) for f in row["files"])]

    def _outcome(self, row: Row) -> Outcome:
        return Kept(self._row(self.raw(row)))

    def _row(self, raw: Row) -> Row:
        clip = self.media.find(self._name(raw, "clip"))
        donor = self.donors.find(self._name(raw, "donor"))
        picture, sound = self.media.root / clip, self.donors.root / donor
        bytes_of = {"clip_sha256": file_digest(picture), "donor_sha256": file_digest(sound)}
        if bytes_of["clip_sha256"] == bytes_of["donor_sha256"]:
            raise RowError("donor_is_the_clip", f"{clip} would lend itself its sound.", "Choose another donor.")
        make = partial(self._make, picture, bytes_of["clip_sha256"])
        name, made = make("counterfactual", sound, bytes_of["donor_sha256"], {"clip": clip, "donor": donor})
        row: Row = {
            "clip": clip,
            "donor": donor,
            "counterfactual": name,
            "factual": None,
            "silent": None,
            "audio_only": None,
            "video_only": None,
            "seconds": made.seconds,
            "fitted": made.fitted,
            "gain_db": made.gain_db,
            "picture_sha256": made.picture_sha256,
            **bytes_of,
        }
        if self.recipe.twins:
            row["factual"] = self._twin(make, picture, bytes_of["clip_sha256"], clip)
        if self.recipe.silent:
            row["silent"] = make("silent", None, "", {"clip": clip})[0]
        note = {"clip": clip, "donor": donor}
        if self.recipe.audio_only:
            row["audio_only"] = self._single(name, "audio_only", note)
        if self.recipe.video_only:
            row["video_only"] = self._single(name, "video_only", {"clip": clip})
        made_files = [row[kind] for kind in KINDS if row[kind]]
        row["files"] = [{"path": path, "sha256": file_digest(self.out / path)} for path in made_files]
        return row

    def _single(self, made: str, kind: Literal["audio_only", "video_only"], note: dict[str, str]) -> str:
        """One stream of a counterfactual clip, copied."""
        source = self.out / made
        endings = {".mp4": ".m4a", ".mkv": ".mka"} if kind == "audio_only" else {}
        target = f"{kind}/{source.stem}{endings.get(source.suffix, source.suffix)}"
        stream: Literal["audio", "visual"] = "audio" if kind == "audio_only" else "visual"
        keep_one(source, self.out / target, stream, self.spec, {"avcurate": kind, **note})
        return target

    def _twin(self, make: Any, picture: Path, digest: str, clip: str) -> str | None:
        try:
            name: str = make("factual", picture, digest, {"clip": clip})[0]
        except MediaError as e:
            # a clip without sound of its own has no twin, and is no worse a picture for it
            if e.reason in ("donor_without_audio", "donor_too_short"):
                return None
            raise
        return name

    def _make(
        self, picture: Path, clip_digest: str, kind: str, donor: Path | None, donor_digest: str, about: dict[str, str]
    ) -> tuple[str, Swapped]:
        """One file, named by the content it is made of; its facts lie beside it and are read back."""
        spec = asdict(self.spec)
        del spec["timeout_s"]
        made_of = json.dumps([kind, clip_digest, donor_digest, spec, 1], sort_keys=True)
        stem = hashlib.sha256(made_of.encode()).hexdigest()[:20]
        target = self.out / kind / f"{stem}{suffix_of(picture)}"
        facts = target.with_name(f"{stem}.json")
        # several pairs of one clip share its twin
        with self._locks[hash(target) % len(self._locks)]:
            if (held := _read_facts(facts, target)) is not None:
                return f"{kind}/{target.name}", held
            made = swap(picture, donor, target, self.spec, {"avcurate": kind, **about})
            write_json(facts, asdict(made) | {"sha256": file_digest(target)})
        return f"{kind}/{target.name}", made

    def _name(self, raw: Row, field_name: str) -> str:
        column = self.columns[field_name]
        value = raw.get(column)
        if not isinstance(value, str) or not value.strip():
            raise RowError("field_missing", f"there is no {field_name} in column {column!r}.")
        return value.strip()


def _read_facts(facts: Path, target: Path) -> Swapped | None:
    """What was made before, if the file is still what it was."""
    try:
        held = json.loads(facts.read_text("utf-8"))
        digest = held.pop("sha256")
        return Swapped(**held) if intact(target, digest) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
