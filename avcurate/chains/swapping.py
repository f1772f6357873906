"""The chain behind ``avcurate swap``: a table of pairs, counterfactual clips and their factual twins."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from avcurate.chains.label_pem import Begin, begin_nothing
from avcurate.errors import MediaError, RowError, UserError
from avcurate.media.folder import MediaFolder
from avcurate.media.swap import Swapped, SwapSpec, keep_one, suffix_of, swap
from avcurate.runner.execute import Tally
from avcurate.runner.records import run_records
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.sources.records import Record, read_records
from avcurate.store.atomic import sha256, write_json
from avcurate.store.lock import writer_lock

FIELDS = ("clip", "donor")
PAIRS_PER_PART = 32


@dataclass(frozen=True)
class SwapJob:
    """One ``swap`` invocation.

    Attributes:
        pairs: a table with a clip and the donor of its new sound.
        media: folder of the clips; donors: folder of the donors.
        twins: also write each clip with its own sound, made the same way.
        silent: also write each clip with silence.
        audio_only: also write the counterfactual's sound alone; video_only: the picture alone.
    """

    pairs: Path
    media: Path
    donors: Path
    run: Path
    columns: dict[str, str] = field(default_factory=dict)
    spec: SwapSpec = field(default_factory=SwapSpec)
    twins: bool = True
    silent: bool = False
    audio_only: bool = False
    video_only: bool = False
    workers: int = 2
    force: bool = False


def run_swap(job: SwapJob, begin: Begin = begin_nothing) -> dict[str, Tally]:
    """Make every pair's clips; what is there already, of the same bytes and rule, is kept.

    Raises:
        RecipeChanged, RunLocked, UserError: see each.
    """
    unknown = set(job.columns) - set(FIELDS)
    if unknown:
        raise UserError(f"there is no field {sorted(unknown)[0]!r}.", f"Fields are: {', '.join(FIELDS)}.")
    spec = asdict(job.spec)
    del spec["timeout_s"]
    identity = {
        "pairs": sha256(job.pairs) if job.pairs.is_file() else None,
        "media": str(job.media.resolve()),
        "donors": str(job.donors.resolve()),
        "columns": {f: job.columns.get(f, f) for f in FIELDS},
        "spec": spec,
        "twins": job.twins,
        "silent": job.silent,
        "audio_only": job.audio_only,
        "video_only": job.video_only,
        "version": 2,
    }
    run, maker = RunDir(job.run), _Maker(job)

    def read(batch: list[Record]) -> list[Row | RowError]:
        with ThreadPoolExecutor(job.workers, thread_name_prefix="swap") as pool:
            return list(pool.map(maker.row, batch))

    with writer_lock(job.run):
        record = run.begin()
        record["input"] = {"annotations": str(job.pairs), "media": str(job.media)}
        tally = run_records(
            run,
            record,
            "swap",
            identity,
            read_records(job.pairs),
            read,
            begin("swap"),
            force=job.force,
            part_size=PAIRS_PER_PART,
            reuse=True,
        )
    return {"swap": tally}


class _Maker:
    """Makes the clips of one pair."""

    def __init__(self, job: SwapJob) -> None:
        self.job = job
        self.media, self.donors = MediaFolder(job.media), MediaFolder(job.donors)
        self._locks = [threading.Lock() for _ in range(64)]

    def row(self, record: Record) -> Row | RowError:
        try:
            return self._row(record)
        except RowError as e:
            return type(e)(e.reason, f"record {record.row}: {e.message}", e.hint)

    def _row(self, record: Record) -> Row:
        clip = self.media.find(self._name(record, "clip"))
        donor = self.donors.find(self._name(record, "donor"))
        picture, sound = self.job.media / clip, self.job.donors / donor
        bytes_of = {"clip_sha256": sha256(picture), "donor_sha256": sha256(sound)}
        if bytes_of["clip_sha256"] == bytes_of["donor_sha256"]:
            raise RowError("donor_is_the_clip", f"{clip} would lend itself its sound.", "Choose another donor.")
        make = partial(self._make, picture, bytes_of["clip_sha256"])
        name, made = make("counterfactual", sound, bytes_of["donor_sha256"], {"clip": clip, "donor": donor})
        row: Row = {
            "clip": clip,
            "donor": donor,
            "row": record.row,
            "counterfactual": name,
            "factual": None,
            "pair": json.dumps(record.value, ensure_ascii=False, default=str),
            "silent": None,
            "audio_only": None,
            "video_only": None,
            "seconds": made.seconds,
            "fitted": made.fitted,
            "gain_db": made.gain_db,
            "picture_sha256": made.picture_sha256,
            **bytes_of,
        }
        if self.job.twins:
            row["factual"] = self._twin(make, picture, bytes_of["clip_sha256"], clip)
        if self.job.silent:
            row["silent"] = make("silent", None, "", {"clip": clip})[0]
        note = {"clip": clip, "donor": donor}
        if self.job.audio_only:
            row["audio_only"] = self._single(name, "audio_only", note)
        if self.job.video_only:
            row["video_only"] = self._single(name, "video_only", {"clip": clip})
        return row

    def _single(self, made: str, kind: Literal["audio_only", "video_only"], note: dict[str, str]) -> str:
        """One stream of a counterfactual clip, copied."""
        source = self.job.run / made
        endings = {".mp4": ".m4a", ".mkv": ".mka"} if kind == "audio_only" else {}
        target = f"{kind}/{source.stem}{endings.get(source.suffix, source.suffix)}"
        stream: Literal["audio", "visual"] = "audio" if kind == "audio_only" else "visual"
        keep_one(source, self.job.run / target, stream, self.job.spec, {"avcurate": kind, **note})
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
        spec = asdict(self.job.spec)
        del spec["timeout_s"]
        made_of = json.dumps([kind, clip_digest, donor_digest, spec, 1], sort_keys=True)
        stem = hashlib.sha256(made_of.encode()).hexdigest()[:20]
        target = self.job.run / kind / f"{stem}{suffix_of(picture)}"
        facts = target.with_name(f"{stem}.json")
        # several pairs of one clip share its twin
        with self._locks[hash(target) % len(self._locks)]:
            if target.is_file() and facts.is_file():
                return f"{kind}/{target.name}", Swapped(**json.loads(facts.read_text("utf-8")))
            made = swap(picture, donor, target, self.job.spec, {"avcurate": kind, **about})
            write_json(facts, asdict(made))
        return f"{kind}/{target.name}", made

    def _name(self, record: Record, field_name: str) -> str:
        column = self.job.columns.get(field_name, field_name)
        value = (record.value or {}).get(column)
        if not isinstance(value, str) or not value.strip():
            raise RowError("field_missing", f"there is no {field_name} in column {column!r}.")
        return value.strip()
