"""Captioned clips put together for pairing: their records merged, their captions embedded, their pairs as rows."""

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
        known = [f["media"] is not None for f in self.facts]

        def fact(name: str, if_missing: float) -> np.ndarray:
            values = [if_missing if f[name] is None else f[name] for f in self.facts]
            return np.array([v if k else np.nan for v, k in zip(values, known, strict=True)], np.float64)

        seen = np.array([not k or bool(f["has_video"]) for f, k in zip(self.facts, known, strict=True)])
        return Catalogue(
            audio=self._captions(self.audio),
            video=self._captions(self.video),
            source=_numbered(self.sources),
            sound=_alike([np.array(f["fingerprint"] or [], np.uint32) for f in self.facts]),
            picture_seconds=np.where(seen, fact("seconds", 0.0), 0.0),
            sound_seconds=fact("sound_seconds", 0.0),
            level=fact("level_db", np.nan),
            answers=tuple(tuple(w for a in found if (w := words_of(a)).strip()) for found in self.answers),
            said=tuple(" ".join(words_of(c) for c in found) for found in self.audio),
        )

    def _captions(self, texts: list[list[str]]) -> Captions:
        rows = [self.vectors[t] for found in texts for t in found]
        starts = np.concatenate([[0], np.cumsum([len(found) for found in texts])]).astype(np.int64)
        return Captions(self.matrix[np.array(rows, np.int64)], starts)

    def shown(self, i: int) -> str:
        """The clip's file where it has one, else its name."""
        return str(self.facts[i]["media"] or self.names[i])


def _numbered(names: list[str]) -> Indices:
    """The same number for the same name; an array of texts would take the longest one's room for each."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(n, len(numbers)) for n in names], np.int64)


def _alike(prints: list[np.ndarray]) -> Indices:
    """One number for each group of sounds that are copies of each other."""
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
    """Captions of pictures by clip, from a table with ``clip`` and ``caption`` (or ``video_caption``).

    Raises:
        UserError: there is none, or a record does not have both.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for row, clip, raw in side_records(path, "clip"):
        caption = raw.get("video_caption", raw.get("caption"))
        if not isinstance(caption, str) or not caption.strip():
            raise UserError(f"record {row} of {path} has no caption.", "Give the v.jsonl of `avcurate caption`.")
        found[clip].append(" ".join(caption.split()))
    if not found:
        raise UserError(f"{path} holds no captions.", "Give the v.jsonl of `avcurate caption`.")
    return found


def merge(captioned: Iterable[pa.Table], seen: dict[str, list[str]]) -> Clips:
    """One clip of all its records; ``seen`` adds captions of pictures by clip name, with or without ending."""
    clips = Clips()
    at: dict[str, int] = {}
    for table in captioned:
        for row in table.to_pylist():
            name = row["clip"]
            if name not in at:
                at[name] = len(clips.names)
                clips.names.append(name)
                clips.rows.append(row["row"])
                clips.sources.append(row["source"])
                clips.splits.append(row["split"])
                clips.audio.append([])
                clips.video.append(list(seen.get(name) or seen.get(Path(name).stem) or []))
                clips.answers.append([])
                clips.facts.append(row)
            i = at[name]
            for held, column in (
                (clips.audio, "audio_captions"),
                (clips.video, "video_captions"),
                (clips.answers, "answers"),
            ):
                held[i] += [t for t in row[column] if t not in held[i]]
    return clips


def embed_captions(clips: Clips, embedder: Embedder, folder: Path, tick: Tick) -> None:
    """Embed every distinct caption once; batches that were embedded before are read back."""
    texts = list(dict.fromkeys(t for found in (*clips.audio, *clips.video) for t in found))
    clips.vectors = {t: i for i, t in enumerate(texts)}
    identity = json.dumps(embedder.identity(), sort_keys=True)
    ready, batches = False, list[np.ndarray]()
    for at in range(0, len(texts), BATCH):
        batch = texts[at : at + BATCH]
        key = hashlib.sha256(json.dumps([identity, batch]).encode()).hexdigest()[:20]
        file = folder / f"{key}.npy"
        if file.exists():
            vectors = np.load(file, allow_pickle=False)
        else:
            if not ready:
                embedder.setup()
                ready = True
            vectors = np.asarray(embedder.embed(batch), np.float32)
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
            write_atomic(file, lambda p, v=vectors: _save(p, v))  # type: ignore[misc]
        batches.append(vectors)
        tick(at + len(batch), len(texts))
    if batches:
        clips.matrix = np.concatenate(batches)


def _save(path: Path, vectors: np.ndarray) -> None:
    with path.open("wb") as f:
        np.save(f, vectors, allow_pickle=False)


def rows_of(
    clips: Clips, catalogue: Catalogue, targets: Indices, chosen: Indices, donors: Indices, limits: Limits, listed: int
) -> list[tuple[Row, Row | None]]:
    """For each target its pair as a row, or, where it has none, why, as a filtered row."""
    audio, video, reason = compare(catalogue, targets, donors, limits)
    nearest = np.nan_to_num(np.fmax(audio, video), nan=-2.0)
    column = {int(d): i for i, d in enumerate(donors)}
    found: list[tuple[Row, Row | None]] = []
    for i, (t, donor) in enumerate(zip(targets.tolist(), chosen.tolist(), strict=True)):
        counts = np.bincount(reason[i], minlength=len(REASONS))
        refused = [{"reason": REASONS[r], "donors": int(counts[r])} for r in range(1, len(REASONS)) if counts[r]]
        if donor == NONE:
            found.append(({}, _lost(clips, catalogue, t, refused, len(donors), bool(counts[0]))))
            continue
        at = column[donor]
        order = [r for r in np.argsort(-nearest[i], kind="stable") if reason[i, r]][:listed]
        row: Row = {
            "clip": clips.shown(t),
            "donor": clips.shown(donor),
            "row": clips.rows[t],
            "split": clips.splits[t],
            "audio_similarity": _number(audio[i, at]),
            "video_similarity": _number(video[i, at]),
            "margin": limits.threshold - float(np.nan_to_num(np.fmax(audio[i, at], video[i, at]), nan=0.0)),
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
        found.append((row, None))
    return found


def _lost(clips: Clips, catalogue: Catalogue, t: int, refused: list[Row], looked_at: int, any_allowed: bool) -> Row:
    reason = "donors_taken" if any_allowed else "no_donor_allowed"
    told = ", ".join(f"{r['donors']} {r['reason']}" for r in refused)
    message = f"{clips.shown(t)}: of {looked_at} donors none is left ({told})."
    if catalogue.picture_seconds[t] == 0:
        reason, message = "no_picture", f"{clips.shown(t)} has no picture; it can only lend its sound."
    return {"reason": reason, "message": message, "refused": refused}


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
