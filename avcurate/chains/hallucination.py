"""Captions against what is there: CHAIR, F1 and ALOHa over a file of captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avcurate.chains.extraction import extract_objects
from avcurate.chains.label_pem import Begin, begin_nothing
from avcurate.engines.base import Engine
from avcurate.engines.embedder import Embedder, open_embedder
from avcurate.engines.open import open_engine
from avcurate.errors import RowError, UserError
from avcurate.metrics.aloha import Object, aloha
from avcurate.metrics.chair import intervals, measures, score_caption
from avcurate.metrics.vocabulary import Vocabulary, load_vocabulary
from avcurate.recipe import ModelSpec
from avcurate.runner.execute import Tally
from avcurate.runner.records import run_records
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.sources.records import Record, read_records
from avcurate.store.atomic import sha256
from avcurate.store.lock import writer_lock

FIELDS = ("clip", "caption", "objects", "references", "flag")


@dataclass(frozen=True)
class HallucinationJob:
    """One ``hallucination`` invocation.

    Attributes:
        captions: a table with a clip and a caption, and maybe objects or reference captions.
        truth: another table with a clip and its objects or reference captions.
        columns: column of each of ``FIELDS``.
        embedder: text embedder for ALOHa; ``None`` leaves ALOHa out.
        extractor: model that lists the objects for ALOHa; ``None`` takes the vocabulary's.
        as_released: surplus objects cost nothing in ALOHa, as in its released code.
    """

    captions: Path
    run: Path
    truth: Path | None = None
    columns: dict[str, str] = field(default_factory=dict)
    embedder: str | None = None
    extractor: ModelSpec | None = None
    as_released: bool = False
    force: bool = False


def run_hallucination(job: HallucinationJob, begin: Begin = begin_nothing) -> dict[str, Tally]:
    """Score every caption; bad records are dead rows.

    Raises:
        RecipeChanged, RunLocked, UserError: see each.
    """
    unknown = set(job.columns) - set(FIELDS)
    if unknown:
        raise UserError(f"there is no field {sorted(unknown)[0]!r}.", f"Fields are: {', '.join(FIELDS)}.")
    column = {f: job.columns.get(f, f) for f in FIELDS}
    vocabulary = load_vocabulary()
    embedder = open_embedder(job.embedder) if job.embedder else None
    if embedder is not None:
        embedder.setup()
    engine = open_engine(job.extractor) if job.extractor else None
    if engine is not None:
        engine.setup()
    truth = dict(_truths(job.truth, column, vocabulary)) if job.truth else {}
    reader = _Reader(column, vocabulary, truth, embedder, engine, job.as_released)
    identity = {
        "captions": sha256(job.captions) if job.captions.is_file() else None,
        "truth": sha256(job.truth) if job.truth else None,
        "columns": column,
        "embedder": embedder.identity() if embedder else None,
        "extractor": engine.identity() if engine else None,
        "as_released": job.as_released,
        "version": 1,
    }
    run = RunDir(job.run)
    with writer_lock(job.run):
        record = run.begin()
        record["input"] = {"annotations": str(job.captions), "media": ""}
        tally = run_records(
            run,
            record,
            "hallucination",
            identity,
            read_records(job.captions),
            reader.rows,
            begin("hallucination"),
            force=job.force,
            part_size=512,
            reuse=True,
        )
    return {"hallucination": tally}


def _truths(path: Path, column: dict[str, str], vocabulary: Vocabulary) -> Iterator[tuple[str, dict[str, Any]]]:
    for record in read_records(path):
        if record.value is not None and (clip := record.value.get(column["clip"])) not in (None, ""):
            yield str(clip), record.value


class _Reader:
    """Scores one record."""

    def __init__(
        self,
        column: dict[str, str],
        vocabulary: Vocabulary,
        truth: dict[str, dict[str, Any]],
        embedder: Embedder | None,
        engine: Engine | None,
        as_released: bool,
    ) -> None:
        self.column = column
        self.vocabulary = vocabulary
        self.truth = truth
        self.embedder = embedder
        self.engine = engine
        self.as_released = as_released
        self._said: dict[str, list[Object] | RowError] = {}
        self._vectors: dict[str, np.ndarray] = {}

    def rows(self, batch: list[Record]) -> list[Row | RowError]:
        """Score the records of a part; a model lists the objects of all its captions first."""
        if self.engine is not None:
            self._said = extract_objects(self.engine, dict(self._texts(batch)))
        return [self._row_or_error(r) for r in batch]

    def _texts(self, batch: list[Record]) -> Iterator[tuple[str, str]]:
        for record in batch:
            raw = record.value or {}
            caption = raw.get(self.column["caption"])
            if isinstance(caption, str) and caption.strip():
                yield f"c{record.row}", caption
            references = self._known(record).get(self.column["references"])
            if isinstance(references, (str, list)) and references:
                yield f"r{record.row}", references if isinstance(references, str) else " ".join(map(str, references))

    def _known(self, record: Record) -> dict[str, Any]:
        raw = record.value or {}
        return self.truth.get(self._clip(record), raw)

    def _clip(self, record: Record) -> str:
        clip = (record.value or {}).get(self.column["clip"])
        return str(record.row if clip in (None, "") else clip)

    def _row_or_error(self, record: Record) -> Row | RowError:
        try:
            return self._row(record)
        except RowError as e:
            return e

    def _row(self, record: Record) -> Row:
        raw, where = record.value or {}, f"record {record.row}"
        caption = raw.get(self.column["caption"])
        if not isinstance(caption, str) or not caption.strip():
            raise RowError("caption_empty", f"{where} has no caption in column {self.column['caption']!r}.")
        clip = self._clip(record)
        truth, names, unknown = self._objects(self._known(record), where)
        score = score_caption(caption, truth, self.vocabulary)
        said: list[Object] = [(w,) for w in dict.fromkeys(m.words for m in score.mentions)]
        there: list[Object] = [(n,) for n in names]
        if self.engine is not None:
            said = self._listed(f"c{record.row}") or []
            there += self._listed(f"r{record.row}") or []
        least, each = self._aloha(said, there)
        flag = raw.get(self.column["flag"])
        return {
            "clip_id": clip,
            "row": record.row,
            "caption": caption,
            "truth": sorted(truth),
            "unknown": unknown,
            "mentions": [
                {"node": m.node, "words": m.words, "start": m.start, "end": m.end, "invented": bad}
                for m, bad in zip(score.mentions, score.invented, strict=True)
            ],
            "right": score.right,
            "found": score.found,
            "named": score.named,
            "aloha": least,
            "aloha_objects": each,
            "flag": flag if isinstance(flag, bool) else None,
        }

    def _objects(self, raw: dict[str, Any], where: str) -> tuple[frozenset[str], list[str], list[str]]:
        """Nodes that are there, the words they are given in, and given objects that map to nothing."""
        listed, references = raw.get(self.column["objects"]), raw.get(self.column["references"])
        if isinstance(listed, str):
            listed = [x.strip() for x in listed.split(",") if x.strip()]
        if isinstance(references, str):
            references = [references] if references.strip() else None
        for name, value in (("objects", listed), ("references", references)):
            if value is not None and not isinstance(value, list):
                raise RowError("truth_not_a_list", f"{where}: {self.column[name]!r} is a {type(value).__name__}.")
        if not isinstance(listed, list) and not isinstance(references, list):
            raise RowError(
                "truth_missing",
                f"{where}: no objects in {self.column['objects']!r} and no captions in {self.column['references']!r}.",
                "Give them in the file, or with --truth.",
            )
        nodes: set[str] = set()
        names: dict[str, None] = {}
        unknown: list[str] = []
        for name in listed or []:
            found = self.vocabulary.objects_of_class(str(name))
            nodes |= found
            names[str(name).lower()] = None
            if not found:
                unknown.append(str(name))
        for text in references or []:
            for mention in self.vocabulary.mentions(str(text)):
                nodes.add(mention.node)
                names[mention.words] = None
        if listed and not nodes:
            raise RowError("class_maps_to_nothing", f"{where}: none of {unknown[:5]} is an object of the vocabulary.")
        return frozenset(nodes), list(names), unknown

    def _listed(self, key: str) -> list[Object] | None:
        found = self._said.get(key)
        if isinstance(found, RowError):
            raise found
        return found

    def _aloha(self, said: list[Object], there: list[Object]) -> tuple[float | None, list[float]]:
        if self.embedder is None:
            return None, []
        return aloha(said, there, self._embed, as_released=self.as_released)

    def _embed(self, texts: list[str]) -> np.ndarray:
        assert self.embedder is not None
        new = [t for t in texts if t not in self._vectors]
        if new:
            self._vectors.update(zip(new, self.embedder.embed(new), strict=True))
        return np.stack([self._vectors[t] for t in texts])


def summarise_hallucination(run: RunDir) -> dict[str, Any]:
    """Measures over all captions with bootstrap intervals; where the input flags captions, how well they are told."""
    rows = [r for t in run.parts("hallucination").rows() for r in t.to_pylist()]
    counts = np.array(
        [
            (
                len(r["mentions"]),
                sum(m["invented"] for m in r["mentions"]),
                any(m["invented"] for m in r["mentions"]),
                r["right"],
                r["found"],
                r["named"],
                len(r["truth"]),
            )
            for r in rows
        ],
        np.int64,
    ).reshape(-1, 7)
    found: dict[str, Any] = {"run": str(run.root), "captions": len(rows)}
    values, ranges = measures(counts), intervals(counts)
    # nothing to divide by is null: NaN is no JSON
    found["measures"] = {
        k: {"value": _number(v), "interval": [_number(x) for x in ranges[k]]} for k, v in values.items()
    }
    scored = [r["aloha"] for r in rows if r["aloha"] is not None]
    found["aloha"] = {"mean": float(np.mean(scored)) if scored else None, "captions": len(scored)}
    flagged = [r for r in rows if r["flag"] is not None]
    if flagged:
        found["told_apart"] = _told_apart(flagged)
    return found


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _told_apart(rows: list[Row]) -> dict[str, Any]:
    """Of captions flagged as hallucinated and not: how often an invented object, or a low ALOHa, says so."""
    truth = np.array([r["flag"] for r in rows])
    invented = np.array([any(m["invented"] for m in r["mentions"]) for r in rows])
    told: dict[str, Any] = {
        "captions": len(rows),
        "hallucinated": int(truth.sum()),
        "chair": {
            "flagged_of_hallucinated": float(invented[truth].mean()) if truth.any() else None,
            "flagged_of_faithful": float(invented[~truth].mean()) if (~truth).any() else None,
        },
    }
    scores = [(r["aloha"], r["flag"]) for r in rows if r["aloha"] is not None]
    if scores and len({f for _, f in scores}) == 2:
        bad = np.array([s for s, f in scores if f])
        good = np.array([s for s, f in scores if not f])
        higher = (good[:, None] > bad[None]).mean() + 0.5 * (good[:, None] == bad[None]).mean()
        told["aloha_auc"] = float(higher)
    return told
