"""The chain behind ``avcurate pair``: captioned clips, and for each picture a sound that says something else."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avcurate.chains.catalogue import Clips, embed_captions, merge, read_video_captions, rows_of
from avcurate.chains.label_pem import Begin, begin_nothing
from avcurate.engines.embedder import Embedder, open_embedder
from avcurate.errors import RowError, UserError
from avcurate.media.decode import DecodeSpec, decode
from avcurate.media.fingerprint import fingerprint
from avcurate.media.folder import MediaFolder
from avcurate.metrics.assignment import NONE, assign
from avcurate.metrics.pairing import REASONS, Indices, Limits, compare, cost
from avcurate.recipe import PairRecipe
from avcurate.runner.chain import settle
from avcurate.runner.execute import Tally, Watch
from avcurate.runner.records import run_records
from avcurate.runner.rundir import RunDir, check_unchanged
from avcurate.runner.stage import Row
from avcurate.schema import arrow_schema
from avcurate.seeds import derive_seed
from avcurate.sources.captioned import FIELDS, Captioned, read_captioned
from avcurate.sources.records import Record, read_records
from avcurate.store.atomic import sha256, write_text
from avcurate.store.lock import writer_lock
from avcurate.store.parts import Commit, to_table

PART = 4096
HEARD = DecodeSpec(fps=0.5, max_frames=2, max_pixels=4096, max_seconds=60.0)


@dataclass(frozen=True)
class PairJob:
    """One ``pair`` invocation.

    Attributes:
        captions: AudioCaps csv, or a table of clips with captions.
        media: folder of the clips; without it nothing is known of lengths, levels and equal sounds.
        video_captions: another table of clips with captions of their pictures, e.g. of ``avcurate caption``.
        columns: column of each of ``sources.captioned.FIELDS``.
    """

    captions: Path
    run: Path
    recipe: PairRecipe
    media: Path | None = None
    video_captions: Path | None = None
    columns: dict[str, str] = field(default_factory=dict)
    workers: int = 2
    force: bool = False


def run_pair(job: PairJob, begin: Begin = begin_nothing, embedder: Embedder | None = None) -> dict[str, Tally]:
    """Choose a donor for every clip; clips that get none are filtered, with the reason.

    Writes the tables ``captioned`` and ``pair``, and ``pairs.jsonl`` for ``avcurate swap``.

    Raises:
        RecipeChanged, RunLocked, UserError: see each.
    """
    unknown = set(job.columns) - set(FIELDS)
    if unknown:
        raise UserError(f"there is no field {sorted(unknown)[0]!r}.", f"Fields are: {', '.join(FIELDS)}.")
    embedder = embedder or open_embedder(job.recipe.embedder)
    run = RunDir(job.run)
    with writer_lock(job.run):
        record = run.begin()
        record["recipe"] = job.recipe.model_dump(mode="json")
        record["input"] = {"annotations": str(job.captions), "media": str(job.media or "")}
        tallies = {"captioned": _read(run, record, job, begin("captioned"))}
        identity = {
            "captioned": [run.parts("captioned").digest(c) for c in run.parts("captioned").commits()],
            "video_captions": sha256(job.video_captions) if job.video_captions else None,
            "recipe": job.recipe.model_dump(mode="json", exclude={"name", "about", "embedder"}),
            "embedder": embedder.identity(),
            "version": 1,
        }
        # choosing again costs little, and captions that were embedded before are not embedded again
        check_unchanged(record, "pair", identity, force=True)
        record["stages"]["pair"] = {"identity": identity}
        run.save(record)
        seen = read_video_captions(job.video_captions) if job.video_captions else {}
        clips = merge(run.parts("captioned"), seen)
        embed_captions(clips, embedder, job.run / "embeddings", begin("embed"))
        tallies["pair"] = _pair(run, record, clips, job.recipe, begin("pair"))
    return tallies


def _read(run: RunDir, record: dict[str, Any], job: PairJob, watch: Watch) -> Tally:
    folder = MediaFolder(job.media) if job.media else None

    def one(item: Record) -> Row | RowError:
        try:
            found = read_captioned(item, job.columns)
            return _row(found, *(_facts(folder, found.clip) if folder else (None, {})))
        except RowError as e:
            return type(e)(e.reason, f"record {item.row}: {e.message}", e.hint)

    def read(batch: list[Record]) -> list[Row | RowError]:
        with ThreadPoolExecutor(job.workers, thread_name_prefix="listen") as pool:
            return list(pool.map(one, batch))

    identity = {
        "captions": sha256(job.captions) if job.captions.is_file() else None,
        "media": str(job.media.resolve()) if job.media else None,
        "columns": job.columns,
        "version": 1,
    }
    size = PART if folder is None else 64
    records = read_records(job.captions)
    return run_records(
        run, record, "captioned", identity, records, read, watch, force=job.force, part_size=size, reuse=True
    )


def _row(found: Captioned, media: str | None, facts: Row) -> Row:
    return {
        "clip": found.clip,
        "row": found.row,
        "source": found.source,
        "split": found.split,
        "audio_captions": list(found.audio),
        "video_captions": list(found.video),
        "answers": list(found.answers),
        "media": media,
        **facts,
    }


def _facts(folder: MediaFolder, name: str) -> tuple[str, Row]:
    """The clip's file, and what its sound is like."""
    media = folder.find(name)
    clip = decode(folder.root / media, HEARD)
    audio = clip.audio
    heard = audio is not None and len(audio) > 0
    level = 20 * float(np.log10(np.sqrt(np.mean(np.square(audio))) + 1e-9)) if audio is not None and heard else None
    return media, {
        "has_video": clip.frames is not None,
        "seconds": clip.duration,
        "sound_seconds": len(audio) / 16_000 if audio is not None else 0.0,
        "level_db": level,
        "fingerprint": fingerprint(audio).tolist() if audio is not None else [],
    }


def _pair(run: RunDir, record: dict[str, Any], clips: Clips, recipe: PairRecipe, watch: Watch) -> Tally:
    limits = Limits(recipe.threshold, recipe.longest_loop, recipe.least_level, recipe.most_gain)
    catalogue = clips.catalogue()
    donor_of = np.full(len(clips.names), NONE, np.int64)
    # each clip with the donors it was compared with last
    blocks: dict[int, tuple[Indices, Indices]] = {}
    for split in sorted(set(clips.splits)):
        members = np.array([i for i, s in enumerate(clips.splits) if s == split], np.int64)

        def priced(targets: Indices, donors: Indices) -> np.ndarray:
            blocks.update(dict.fromkeys(targets.tolist(), (targets, donors)))
            return cost(*compare(catalogue, targets, donors, limits))

        seed = derive_seed("pair", recipe.seed, split)
        donor_of[members] = assign(priced, members, block=recipe.block, rounds=recipe.rounds, seed=seed)
    told: dict[int, tuple[Row, Row | None]] = {}
    for targets, donors in {id(b): b for b in blocks.values()}.values():
        found = rows_of(clips, catalogue, targets, donor_of[targets], donors, limits, recipe.listed)
        told.update(zip(targets.tolist(), found, strict=True))
    output, part, tally = run.parts("pair"), 0, Tally()
    fingerprint_of = hashlib.sha256(json.dumps(record["stages"]["pair"]["identity"], sort_keys=True).encode())
    lines: list[str] = []
    for at in range(0, len(donor_of), PART):
        kept: list[Row] = []
        filtered: list[Row] = []
        for t in range(at, min(at + PART, len(donor_of))):
            row, lost = told[t]
            (kept if lost is None else filtered).append(row if lost is None else lost)
        counts = Counter(f["reason"] for f in filtered)
        commit = output.write(
            Commit(part, len(kept) + len(filtered), len(kept), dict(counts), {}, "", fingerprint_of.hexdigest()[:16]),
            {"kept": to_table(kept, arrow_schema("pair")), "filtered": to_table(filtered, arrow_schema("filtered"))},
        )
        lines += [json.dumps(_line(r), ensure_ascii=False) for r in kept]
        tally.add_commit(commit)
        tally.total = tally.done
        watch(tally, None, None)
        part += 1
    for stale in output.commits()[part:]:
        output.remove(stale.part)
    write_text(run.root / "pairs.jsonl", "".join(line + "\n" for line in lines))
    settle(run, record, "pair", tally)
    return tally


def _line(row: Row) -> Row:
    return {k: row[k] for k in row if k not in ("looked_at", "refused", "nearest_refused")}


def summarise_pair(run: RunDir) -> dict[str, Any]:
    """What was paired, how near the pairs are, and why donors were refused."""
    columns = ["audio_similarity", "video_similarity", "margin", "refused", "looked_at"]
    rows = [r for t in run.parts("pair").rows(columns=columns) for r in t.to_pylist()]
    refused: Counter[str] = Counter()
    for row in rows:
        refused.update({r["reason"]: r["donors"] for r in row["refused"]})
    found: dict[str, Any] = {"run": str(run.root), "pairs": len(rows), "pairs_file": str(run.root / "pairs.jsonl")}
    for name in ("audio_similarity", "video_similarity", "margin"):
        values = np.array([r[name] for r in rows if r[name] is not None])
        found[name] = {"mean": float(values.mean()), "most": float(values.max())} if len(values) else None
    found["donors_looked_at"] = sum(r["looked_at"] for r in rows)
    found["donors_refused"] = {k: refused[k] for k in REASONS if refused[k]}
    return found
