"""Captions compared with the true objects: CHAIR, F1 and ALOHa, caption by caption."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from avcurate.engines.base import Engine
from avcurate.engines.embedder import Embedder
from avcurate.errors import RowError
from avcurate.metrics.aloha import Object, aloha
from avcurate.metrics.chair import score_caption
from avcurate.metrics.vocabulary import Vocabulary, load_vocabulary
from avcurate.runner.isolate import in_batches
from avcurate.runner.stage import Kept, Outcome, Row, WorkLog
from avcurate.scheduler.schedule import Scheduler
from avcurate.scheduler.text import TextUnit
from avcurate.schema import HALLUCINATION, columns_schema
from avcurate.seeds import derive_seed
from avcurate.sources.captioning_task import is_avhbench, reference_captions
from avcurate.sources.side import side_table
from avcurate.tasks.hallucination.extraction import PROMPT, SAMPLING, listed_objects
from avcurate.tasks.hallucination.recipe import FIELDS, HallucinationRecipe
from avcurate.tasks.records import RecordStage, content_of

CAPTION, REFERENCES = "caption", "references"


class HallucinationStage(RecordStage):
    """Columns added: ``schema.HALLUCINATION``.

    Args:
        recipe: what to measure.
        embedder: for ALOHa; ``None`` skips ALOHa.
        engine: lists objects for ALOHa; ``None``: the vocabulary finds them.
    """

    name = "hallucination"
    version = 3

    def __init__(self, recipe: HallucinationRecipe, embedder: Embedder | None, engine: Engine | None) -> None:
        super().__init__(recipe.input.columns, FIELDS)
        self.recipe, self.embedder, self.engine = recipe, embedder, engine
        self.journals_outcomes = engine is None
        self.adds = columns_schema("hallucination", HALLUCINATION)
        self.vocabulary: Vocabulary = load_vocabulary()
        self._truth: dict[str, dict[str, Any]] = {}
        self._vectors: dict[str, np.ndarray] = {}

    def identity(self) -> dict[str, Any]:
        """The truth, and the models for ALOHa."""
        return {
            "truth": content_of(self.recipe.input.truth),
            "columns": self.columns,
            "embedder": self.embedder.identity() if self.embedder else None,
            "extractor": self.engine.identity() if self.engine else None,
            "as_released": self.recipe.as_released,
        }

    def preflight(self) -> None:
        """Check the embedder, if one is needed."""
        if self.embedder is not None:
            self.embedder.preflight()

    def setup(self) -> None:
        """Read the truth and load the models."""
        truth = self.recipe.input.truth
        self._truth = read_truth(truth, self.columns["clip"]) if truth is not None else {}
        for model in (self.embedder, self.engine):
            if model is not None:
                model.setup()

    def close(self) -> None:
        """Free the extractor."""
        if self.engine is not None:
            self.engine.close()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Score captions; with an extractor, once it has listed their objects."""
        if self.engine is None:
            return in_batches(rows, 1, self.row_id, lambda batch: [Kept(self._scored(batch[0], {}))])
        return Scheduler(self.engine, self._unit, canary=False).process(rows, log)

    def _unit(self, row: Row) -> TextUnit:
        assert self.engine is not None
        prompts = {
            name: (PROMPT.replace("{caption}", " ".join(text.split())), derive_seed("objects", text))
            for name, text in self._texts(row).items()
        }

        def outcome_of(replies: dict[str, list[dict[str, Any]]]) -> Outcome:
            return Kept(self._scored(row, {name: listed_objects(texts[0]) for name, texts in replies.items()}))

        return TextUnit(self.row_id(row), row, self.engine, prompts, 1, SAMPLING, outcome_of)

    def _texts(self, row: Row) -> dict[str, str]:
        raw, texts = self.raw(row), dict[str, str]()
        caption = raw.get(self.columns["caption"])
        if isinstance(caption, str) and caption.strip():
            texts[CAPTION] = caption
        references = self._truth_of(row, raw).get(self.columns["references"])
        if isinstance(references, (str, list)) and references:
            texts[REFERENCES] = references if isinstance(references, str) else " ".join(map(str, references))
        return texts

    def _truth_of(self, row: Row, raw: dict[str, Any]) -> dict[str, Any]:
        return self._truth.get(self._clip(row, raw), raw)

    def _clip(self, row: Row, raw: dict[str, Any]) -> str:
        clip = raw.get(self.columns["clip"])
        return str(row["row"] if clip in (None, "") else clip)

    def _scored(self, row: Row, listed: dict[str, list[Object]]) -> Row:
        """Columns of one caption; ``listed`` holds the objects a model found in the caption and its references."""
        raw = self.raw(row)
        caption = raw.get(self.columns["caption"])
        if not isinstance(caption, str) or not caption.strip():
            raise RowError("caption_empty", f"column {self.columns['caption']!r} holds no caption.")
        clip = self._clip(row, raw)
        truth, names, unknown = self._objects(self._truth_of(row, raw))
        score = score_caption(caption, truth, self.vocabulary)
        candidates: list[Object] = [(w,) for w in dict.fromkeys(m.words for m in score.mentions)]
        true_objects: list[Object] = [(n,) for n in names]
        if self.engine is not None:
            candidates = listed.get(CAPTION, [])
            true_objects += listed.get(REFERENCES, [])
        aloha_score, object_scores = self._aloha(candidates, true_objects)
        flag = raw.get(self.columns["flag"])
        return {
            "clip_id": clip,
            "caption": caption,
            "truth": sorted(truth),
            "unknown": unknown,
            "mentions": [
                {"node": m.node, "words": m.words, "start": m.start, "end": m.end, "invented": invented}
                for m, invented in zip(score.mentions, score.invented, strict=True)
            ],
            "right": score.right,
            "found": score.found,
            "named": score.named,
            "references": _references(self._truth_of(row, raw).get(self.columns["references"])),
            "aloha": aloha_score,
            "aloha_objects": object_scores,
            "flag": flag if isinstance(flag, bool) else None,
        }

    def _objects(self, raw: dict[str, Any]) -> tuple[frozenset[str], list[str], list[str]]:
        """True vocabulary nodes, the words given for them, and given objects outside the vocabulary."""
        listed, references = raw.get(self.columns["objects"]), raw.get(self.columns["references"])
        if isinstance(listed, str):
            listed = [x.strip() for x in listed.split(",") if x.strip()]
        if isinstance(references, str):
            references = [references] if references.strip() else None
        for name, value in (("objects", listed), ("references", references)):
            if value is not None and not isinstance(value, list):
                raise RowError("truth_not_a_list", f"{self.columns[name]!r} is a {type(value).__name__}, not a list.")
        if not isinstance(listed, list) and not isinstance(references, list):
            raise RowError(
                "truth_missing",
                f"no objects in {self.columns['objects']!r} and no captions in {self.columns['references']!r}.",
                "Give them in the file, or with --truth.",
            )
        nodes: set[str] = set()
        names: dict[str, None] = {}
        unknown: list[str] = []
        for name in listed or []:
            matches = self.vocabulary.objects_of_class(str(name))
            nodes |= matches
            names[str(name).lower()] = None
            if not matches:
                unknown.append(str(name))
        for text in references or []:
            for mention in self.vocabulary.mentions(str(text)):
                nodes.add(mention.node)
                names[mention.words] = None
        if listed and not nodes:
            raise RowError("class_maps_to_nothing", f"none of {unknown[:5]} is in the vocabulary.")
        return frozenset(nodes), list(names), unknown

    def _aloha(self, candidates: list[Object], true_objects: list[Object]) -> tuple[float | None, list[float]]:
        if self.embedder is None:
            return None, []
        return aloha(candidates, true_objects, self._embed, as_released=self.recipe.as_released)

    def _embed(self, texts: list[str]) -> np.ndarray:
        assert self.embedder is not None
        for text in texts:
            if text not in self._vectors:
                # one at a time: in a batch, the last digits depend on its other texts
                self._vectors[text] = self.embedder.embed([text])[0]
        return np.stack([self._vectors[t] for t in texts])


def read_truth(path: Path, key: str) -> dict[str, dict[str, Any]]:
    """What is known of each clip; of AVHBench's file, its captions.

    Raises:
        UserError: see :func:`avcurate.sources.side.side_table`.
    """
    return reference_captions(path) if key == "clip" and is_avhbench(path) else side_table(path, key)


def _references(value: Any) -> list[str]:
    return [str(t) for t in ([value] if isinstance(value, str) else value or []) if str(t).strip()]
