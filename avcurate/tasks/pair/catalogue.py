"""Captioned clips prepared for pairing: records merged, captions embedded, pairs as rows."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from avcurate.engines.embedder import Embedder
from avcurate.errors import UserError
from avcurate.media.fingerprint import near_duplicates
from avcurate.metrics.assignment import NONE
from avcurate.metrics.pairing import REASONS, Captions, Catalogue, Indices, Limits, Matrix, compare, words_of
from avcurate.runner.stage import Row, Tick
from avcurate.sources.side import side_records
from avcurate.store.atomic import write_atomic

BATCH = 4096


@dataclass
class Clips:
    """Distinct clips in the order of their first records; parallel lists."""

    names: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    audio: list[list[str]] = field(default_factory=list)
    video: list[list[str]] = field(default_factory=list)
    answers: list[list[str]] = field(default_factory=list)
    facts: list[Row] = field(default_factory=list)
    vectors: dict[str, int] = field(default_factory=dict)
    matrix: Matrix = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def catalogue(self) -> Catalogue:
        """The clips as arrays."""
        has_media = [f["media"] is not None for f in self.facts]

        def fact(name: str, if_missing: float) -> np.ndarray:
            values = [if_missing if f[name] is None else f[name] for f in self.facts]
            return np.array([v if k else np.nan for v, k in zip(values, has_media, strict=True)], np.float64)

        has_picture = np.array([not k or bool(f["has_video"]) for f, k in zip(self.facts, has_media, strict=True)])
        return Catalogue(
            audio=self._captions(self.audio),
            video=self._captions(self.video),
            source=_numbers_of(self.sources),
            sound=_sound_groups([np.array(f["fingerprint"] or [], np.uint32) for f in self.facts]),
            picture_seconds=np.where(has_picture, fact("seconds", 0.0), 0.0),
            sound_seconds=fact("sound_seconds", 0.0),
            level=fact("level_db", np.nan),
            answers=tuple(tuple(w for a in texts if (w := words_of(a)).strip()) for texts in self.answers),
            said=tuple(" ".join(words_of(c) for c in texts) for texts in self.audio),
        )

    def _captions(self, texts: list[list[str]]) -> Captions:
        rows = [self.vectors[t] for captions in texts for t in captions]
        starts = np.concatenate([[0], np.cumsum([len(captions) for captions in texts])]).astype(np.int64)
        return Captions(self.matrix[np.array(rows, np.int64)], starts)

    def shown(self, i: int) -> str:
        """The clip's file if it has one, else its name."""
        return str(self.facts[i]["media"] or self.names[i])


def _numbers_of(names: list[str]) -> Indices:
    """One number per distinct name; in a string array every item would take the space of the longest."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(n, len(numbers)) for n in names], np.int64)


def _sound_groups(prints: list[np.ndarray]) -> Indices:
    """One number per group of near-duplicate sounds."""
    group = list(range(len(prints)))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for i, j in sorted(near_duplicates(prints)):
        group[root(j)] = root(i)
    return np.array([root(i) for i in range(len(group))], np.int64)


def read_video_captions(path: Path) -> dict[str, list[str]]:
    """Video captions by clip, from a table with ``clip`` and ``caption`` (or ``video_caption``).

    Raises:
        UserError: the table is empty, or a record lacks one of them.
    """
    captions: dict[str, list[str]] = defaultdict(list)
    for row, clip, raw in side_records(path, "clip"):
        caption = raw.get("video_caption", raw.get("caption"))
        if not isinstance(caption, str) or not caption.strip():
            raise UserError(f"record {row} of {path} has no caption.", "Give the v.jsonl of `avcurate caption`.")
        captions[clip].append(" ".join(caption.split()))
    if not captions:
        raise UserError(f"{path} holds no captions.", "Give the v.jsonl of `avcurate caption`.")
    return captions


def merge(captioned: Iterable[pa.Table], seen: dict[str, list[str]]) -> Clips:
    """Merge all records of each clip; ``seen`` adds video captions by clip name, with or without extension."""
    clips = Clips()
    index: dict[str, int] = {}
    for table in captioned:
        for row in table.to_pylist():
            name = row["clip"]
            if name not in index:
                index[name] = len(clips.names)
                clips.names.append(name)
                clips.rows.append(row["row"])
                clips.sources.append(row["source"])
                clips.splits.append(row["split"])
                clips.audio.append([])
                clips.video.append(list(seen.get(name) or seen.get(Path(name).stem) or []))
                clips.answers.append([])
                clips.facts.append(row)
            i = index[name]
            for collected, column in (
                (clips.audio, "audio_captions"),
                (clips.video, "video_captions"),
                (clips.answers, "answers"),
            ):
                collected[i] += [t for t in row[column] if t not in collected[i]]
    return clips


def embed_captions(clips: Clips, embedder: Embedder, folder: Path, tick: Tick) -> None:
    """Embed every distinct caption once; batches embedded before are loaded from ``folder``."""
    texts = list(dict.fromkeys(t for captions in (*clips.audio, *clips.video) for t in captions))
    clips.vectors = {t: i for i, t in enumerate(texts)}
    identity = json.dumps(embedder.identity(), sort_keys=True)
    loaded, batches = False, list[np.ndarray]()
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        key = hashlib.sha256(json.dumps([identity, batch]).encode()).hexdigest()[:20]
        file = folder / f"{key}.npy"
        if file.exists():
            vectors = np.load(file, allow_pickle=False)
        else:
            if not loaded:
                embedder.setup()
                loaded = True
            vectors = np.asarray(embedder.embed(batch), np.float32)
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
            write_atomic(file, lambda p, v=vectors: _save(p, v))  # type: ignore[misc]
        batches.append(vectors)
        tick(start + len(batch), len(texts))
    if batches:
        clips.matrix = np.concatenate(batches)


def _save(path: Path, vectors: np.ndarray) -> None:
    with path.open("wb") as f:
        np.save(f, vectors, allow_pickle=False)


def rows_of(
    clips: Clips, catalogue: Catalogue, targets: Indices, chosen: Indices, donors: Indices, limits: Limits, listed: int
) -> list[tuple[Row, Row | None]]:
    """For each target, its pair as a row, or a filtered row with the reason it has none."""
    audio, video, reason = compare(catalogue, targets, donors, limits)
    nearest = np.nan_to_num(np.fmax(audio, video), nan=-2.0)
    column_of = {int(d): i for i, d in enumerate(donors)}
    results: list[tuple[Row, Row | None]] = []
    for i, (t, donor) in enumerate(zip(targets.tolist(), chosen.tolist(), strict=True)):
        counts = np.bincount(reason[i], minlength=len(REASONS))
        refused = [{"reason": REASONS[r], "donors": int(counts[r])} for r in range(1, len(REASONS)) if counts[r]]
        if donor == NONE:
            results.append(({}, _filtered_row(clips, catalogue, t, refused, len(donors), bool(counts[0]))))
            continue
        chosen_column = column_of[donor]
        order = [r for r in np.argsort(-nearest[i], kind="stable") if reason[i, r]][:listed]
        row: Row = {
            "clip": clips.shown(t),
            "donor": clips.shown(donor),
            "row": clips.rows[t],
            "split": clips.splits[t],
            "audio_similarity": _number(audio[i, chosen_column]),
            "video_similarity": _number(video[i, chosen_column]),
            "margin": limits.threshold
            - float(np.nan_to_num(np.fmax(audio[i, chosen_column], video[i, chosen_column]), nan=0.0)),
            "audio_captions": clips.audio[t],
            "video_captions": clips.video[t],
            "donor_captions": clips.audio[donor],
            "answers": clips.answers[t],
            "looked_at": len(donors),
            "refused": refused,
            "nearest_refused": [
                {
                    "donor": clips.shown(int(donors[r])),
                    "reason": REASONS[reason[i, r]],
                    "audio_similarity": _number(audio[i, r]),
                    "video_similarity": _number(video[i, r]),
                }
                for r in order
            ],
        }
        results.append((row, None))
    return results


def _filtered_row(
    clips: Clips, catalogue: Catalogue, t: int, refused: list[Row], looked_at: int, any_allowed: bool
) -> Row:
    reason = "donors_taken" if any_allowed else "no_donor_allowed"
    reasons = ", ".join(f"{r['donors']} {r['reason']}" for r in refused)
    message = f"{clips.shown(t)}: none of {looked_at} donors is left ({reasons})."
    if catalogue.picture_seconds[t] == 0:
        reason, message = "no_picture", f"{clips.shown(t)} has no picture, so it can only be a donor."
    return {"reason": reason, "message": message, "refused": refused}


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
