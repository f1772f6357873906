"""Captioned clips, facts about their sound, and the choice of donors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from avcurate.engines.embedder import Embedder
from avcurate.errors import UserError
from avcurate.media.decode import DecodeSpec, decode
from avcurate.media.fingerprint import fingerprint
from avcurate.media.folder import MediaFolder
from avcurate.metrics.assignment import NONE, assign
from avcurate.metrics.pairing import Indices, Limits, compare, cost
from avcurate.runner.isolate import in_threads
from avcurate.runner.rundir import RunDir
from avcurate.runner.source import Source
from avcurate.runner.stage import Filtered, Kept, Outcome, Row, Stage, Tick, WholeStage, WorkLog
from avcurate.schema import PAIR, SOUND, arrow_schema, columns_schema
from avcurate.seeds import derive_seed
from avcurate.sources.captioned import FIELDS, read_captioned
from avcurate.sources.records import Record, read_records
from avcurate.store.atomic import write_text
from avcurate.tasks.pair.catalogue import Clips, embed_captions, merge, read_video_captions, rows_of
from avcurate.tasks.pair.recipe import PairRecipe
from avcurate.tasks.records import content_of

LISTEN_SPEC = DecodeSpec(fps=0.5, max_frames=2, max_pixels=4096, max_seconds=60.0)
INTERNAL_COLUMNS = ("looked_at", "refused", "nearest_refused")


class CaptionSource(Source):
    """Records of captioned clips; a clip may have several."""

    name, table, key = "captions", "captions", "row"

    def __init__(self, path: Path, columns: dict[str, str], salvage: bool = False) -> None:
        self.salvage = salvage
        unknown = set(columns) - set(FIELDS)
        if unknown:
            raise UserError(f"there is no field {sorted(unknown)[0]!r}.", f"Fields are: {', '.join(FIELDS)}.")
        self.path, self.columns = path, columns
        self.rows: pa.Schema = arrow_schema("captions")

    def identity(self) -> dict[str, Any]:
        """Content of the file, and its columns."""
        return {"captions": content_of(self.path), "columns": self.columns}

    def records(self) -> Iterator[Record]:
        """The file's records."""
        return read_records(self.path, salvage=self.salvage)

    def read(self, record: Record) -> Outcome:
        """The captions and answers of a record."""
        captioned = read_captioned(record, self.columns)
        return Kept(
            {
                "clip": captioned.clip,
                "row": captioned.row,
                "source": captioned.source,
                "split": captioned.split,
                "audio_captions": list(captioned.audio),
                "video_captions": list(captioned.video),
                "answers": list(captioned.answers),
            }
        )


class ListenStage(Stage):
    """Columns added: ``schema.SOUND``; all null if no media folder is given."""

    name = "captioned"
    version = 2
    key = "row"
    key_type = pa.int64()

    def __init__(self, media: Path | None, workers: int) -> None:
        self.folder = MediaFolder(media) if media is not None else None
        self.workers = workers
        self.adds = columns_schema("captioned", SOUND)

    def identity(self) -> dict[str, Any]:
        """Whether media are read."""
        return {"listened": self.folder is not None}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Length, level and fingerprint of each clip's sound, several clips in parallel."""
        if self.folder is None:
            nothing = dict.fromkeys(self.adds.names)
            return ((self.row_id(row), Kept(dict(nothing))) for row in rows)
        return in_threads(rows, self.workers, self.row_id, self._listen)

    def files(self, row: Row) -> list[tuple[Path, str]]:
        """The clip."""
        if self.folder is None or row["media"] is None:
            return []
        return [(self.folder.root / row["media"], row["media_sha256"])]

    def _listen(self, row: Row) -> Outcome:
        assert self.folder is not None
        media = self.folder.find(row["clip"])
        clip = decode(self.folder.root / media, LISTEN_SPEC)
        audio = clip.audio
        heard = audio is not None and len(audio) > 0
        level = 20 * float(np.log10(np.sqrt(np.mean(np.square(audio))) + 1e-9)) if audio is not None and heard else None
        return Kept(
            {
                "media": media,
                "media_sha256": clip.sha256,
                "has_video": clip.frames is not None,
                "seconds": clip.duration,
                "sound_seconds": len(audio) / 16_000 if audio is not None else 0.0,
                "level_db": level,
                "fingerprint": fingerprint(audio).tolist() if audio is not None else [],
            }
        )


class PairStage(WholeStage):
    """The table ``pair``: one row per clip, with its donor or the reason it has none.

    Args:
        recipe: limits and sizes.
        embedder: embeds captions; earlier embeddings are reused.
        folder: where embeddings are stored.
    """

    name = "pair"
    version = 2
    key = "clip"

    def __init__(self, recipe: PairRecipe, embedder: Embedder, folder: Path) -> None:
        self.recipe, self.embedder, self.folder = recipe, embedder, folder
        self.adds = columns_schema("pair", PAIR)

    def identity(self) -> dict[str, Any]:
        """Limits, sizes, seed, embedder, and video captions."""
        kept = self.recipe.model_dump(mode="json", exclude={"kind", "name", "about", "input", "run", "embedder"})
        return {
            "recipe": kept,
            "embedder": self.embedder.identity(),
            "video_captions": content_of(self.recipe.input.video_captions),
        }

    def preflight(self) -> None:
        """Check the embedder."""
        self.embedder.preflight()

    def process(self, rows: Iterator[pa.Table], tick: Tick) -> Iterator[tuple[Row, Outcome]]:
        """Choose a donor for every clip, one to one, at minimum total similarity."""
        path = self.recipe.input.video_captions
        clips = merge(rows, read_video_captions(path) if path is not None else {})
        embed_captions(clips, self.embedder, self.folder, tick)
        yield from self._outcomes(clips)

    def _outcomes(self, clips: Clips) -> Iterator[tuple[Row, Outcome]]:
        recipe = self.recipe
        limits = Limits(recipe.threshold, recipe.longest_loop, recipe.least_level, recipe.most_gain)
        catalogue = clips.catalogue()
        donor_of = np.full(len(clips.names), NONE, np.int64)
        # last block in which each clip was compared: (targets, donors)
        blocks: dict[int, tuple[Indices, Indices]] = {}
        for split in sorted(set(clips.splits)):
            members = np.array([i for i, s in enumerate(clips.splits) if s == split], np.int64)

            def costs(targets: Indices, donors: Indices) -> np.ndarray:
                blocks.update(dict.fromkeys(targets.tolist(), (targets, donors)))
                return cost(*compare(catalogue, targets, donors, limits))

            seed = derive_seed("pair", recipe.seed, split)
            donor_of[members] = assign(costs, members, block=recipe.block, rounds=recipe.rounds, seed=seed)
        results: dict[int, tuple[Row, Row | None]] = {}
        for targets, donors in {id(b): b for b in blocks.values()}.values():
            rows = rows_of(clips, catalogue, targets, donor_of[targets], donors, limits, recipe.listed)
            results.update(zip(targets.tolist(), rows, strict=True))
        for i in range(len(donor_of)):
            row, filtered = results[i]
            if filtered is None:
                yield {"clip": row["clip"], "row": row["row"]}, Kept(row)
            else:
                yield (
                    {"clip": clips.names[i], "row": clips.rows[i], "refused": filtered["refused"]},
                    Filtered(filtered["reason"], filtered["message"]),
                )


def write_pairs(run: RunDir) -> None:
    """Write ``pairs.jsonl``, as ``avcurate swap`` reads it."""
    rows = (r for t in run.parts("pair").rows() for r in t.to_pylist())
    lines = (
        json.dumps({k: row[k] for k in row if k not in INTERNAL_COLUMNS}, ensure_ascii=False) + "\n" for row in rows
    )
    write_text(run.root / "pairs.jsonl", "".join(lines))
