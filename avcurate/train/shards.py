"""Exported shards as training questions; those that do not fit the model are refused, naming both sides."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, ValidationError

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import UserError
from avcurate.schema import PEM, SCHEMA_VERSION
from avcurate.seeds import derive_seed
from avcurate.store.manifest import differences
from avcurate.train.recipe import TrainRecipe

COLUMNS = ["question_id", "media", "start", "end", "question", "choices", "answer", "pem"]
TYPES = {
    **dict.fromkeys(("question_id", "media", "question", "answer", "pem"), pa.string()),
    **dict.fromkeys(("start", "end"), pa.float64()),
    "choices": pa.list_(pa.string()),
}
REQUIRED = ("question_id", "media", "question", "choices", "answer")
MEDIA_DIGEST = "media_sha256"
WEIGHT = "weight"
ROUNDS = 8
AGAIN = "Export the run again with this version of avcurate."


def sft_columns(setting: str = "av") -> tuple[str, str]:
    """The columns of a setting's responses, and of which are right."""
    return f"{setting}_responses", f"{setting}_correct"


@dataclass(frozen=True)
class Shards:
    """Questions of one split, and where their media are."""

    rows: list[dict[str, Any]]
    media: Path
    facts: dict[str, Any]


def read_shards(
    folder: Path, split: str = "train", columns: Sequence[str] = (), needs_pem: Sequence[str] = ()
) -> Shards:
    """The questions of a split, in shard order, with extra ``columns``.

    Args:
        needs_pem: rewards that mean nothing without a PEM.

    Raises:
        UserError: the folder holds no shards of this version, none of this split, or a row without a PEM.
    """
    facts = _facts(folder)
    files = sorted((folder / "data").glob(f"{split}-*.parquet"))
    if not files:
        raise UserError(f"{folder} holds no Parquet shard of split {split!r}.", "Export with --to parquet.")
    listed = facts.get("files") or {}
    stray = next((f for f in files if listed and f.relative_to(folder).as_posix() not in listed), None)
    if stray is not None:
        raise UserError(f"{stray} is not one of the exported files.", "Remove it, or export the run again.")
    rows = [row for file in files for row in _rows(file, [*COLUMNS, *columns], optional={MEDIA_DIGEST, WEIGHT})]
    labels = {str(p) for p in PEM}
    unlabelled = facts.get("labelled") is False
    if unlabelled and needs_pem:
        raise UserError(
            f"{folder} has no PEMs, and the recipe rewards {needs_pem[0]}.",
            "Set rewards: {accuracy: 1} in the recipe, or label the questions with `avcurate label-pem`.",
        )
    bad = next((r for r in rows if r["pem"] not in labels), None)
    if bad is not None and not unlabelled:
        raise UserError(f"{folder}: question {bad['question_id']} has no PEM ({bad['pem']}).", "Export again.")
    return Shards(rows, Path(facts["media"]), facts)


def drawn_by_weight(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The rows, each as often as its weight says: ``ROUNDS`` times its weight, rounded up or down.

    Drawn at even steps from a seeded start, so that each row is expected as often as its weight asks; rows without
    weights come once, as they are.

    Raises:
        UserError: a weight is not a positive number.
    """
    if all(row.get(WEIGHT) in (None, 1) for row in rows):
        return rows
    weights = list[float]()
    for row in rows:
        weight = row.get(WEIGHT)
        if weight is None or not 0 < weight < math.inf:
            raise UserError(f"question {row['question_id']} has the weight {weight}.", AGAIN)
        weights.append(weight)
    scale = ROUNDS * len(rows) / math.fsum(weights)
    start, reached, drawn = random.Random(derive_seed("weight", seed)).random(), 0.0, list[dict[str, Any]]()
    for row, weight in zip(rows, weights, strict=True):
        before, reached = reached, reached + scale * weight
        drawn += [row] * (math.ceil(reached - start) - math.ceil(before - start))
    return drawn


class _Facts(BaseModel):
    """What ``shards.json`` must hold."""

    media: str
    fps: float = Field(gt=0, allow_inf_nan=False)
    sample_rate: int
    processor: dict[str, str | None]
    rows: dict[str, int]
    split: dict[str, Any]
    thresholds: dict[str, Any]
    prompt: str = ""
    files: dict[str, str] = {}


def _facts(folder: Path) -> dict[str, Any]:
    """``shards.json``, checked for what training reads.

    Raises:
        UserError: it cannot be read, is of another version or lacks a field; or a shard is not what was exported.
    """
    file = folder / "shards.json"
    try:
        facts = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise UserError(f"{folder} holds no shards: {e}", "Create them with `avcurate export RUN -o SHARDS`.") from None
    if not isinstance(facts, dict):
        raise UserError(f"{file} is damaged.", AGAIN)
    if facts.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{folder} has schema version {facts.get('schema_version')}, this avcurate has {SCHEMA_VERSION}.", AGAIN
        )
    try:
        read = _Facts.model_validate(facts)
    except ValidationError as e:
        first = e.errors()[0]
        raise UserError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}.", AGAIN) from None
    if not read.processor.get("model") and facts.get("labelled") is not False:
        raise UserError(f"{file}: processor.model is missing.", AGAIN)
    if wrong := differences(folder, read.files):
        raise UserError(f"{folder / wrong[0][0]} is damaged: {wrong[0][1]}", AGAIN)
    return facts | {"processor": {"revision": None, **read.processor}}


def _rows(file: Path, columns: list[str], optional: set[str]) -> list[dict[str, Any]]:
    """Rows of one shard, with column types checked and no required value missing.

    Raises:
        UserError: it cannot be read, or is not a shard.
    """
    try:
        schema = pq.read_schema(file)
        missing = [c for c in columns if c not in schema.names]
        if missing:
            raise UserError(f"{file} has no column {missing[0]!r}.", AGAIN)
        table = pq.read_table(file, columns=[*columns, *sorted(optional & set(schema.names))])
        for name, type_ in TYPES.items():
            column = table.column(name).cast(type_)
            if name in REQUIRED and column.null_count:
                raise UserError(f"{file}: {column.null_count} rows have no {name}.", AGAIN)
        rows: list[dict[str, Any]] = table.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as e:
        raise UserError(f"{file} cannot be read: {' '.join(str(e).split())[:200]}", AGAIN) from None
    return rows


def refuse_mismatch(facts: dict[str, Any], recipe: TrainRecipe, checkpoint: Checkpoint) -> None:
    """Refuse shards that were labelled with other media settings than training uses.

    Labels say what this model family could hear and see at one frame rate; at another they say nothing.

    Raises:
        UserError: frame rate, sample rate or the processor's family differ; the message names both sides.
    """
    if facts.get("labelled") is False:
        return
    labelled = Checkpoint(*(facts["processor"].get(k) for k in ("model", "revision", "family")))
    sides = {
        "frame rate": (facts["fps"], recipe.media.fps),
        "sample rate": (facts["sample_rate"], 16_000),
        "processor": (labelled.model_type or facts["processor"]["model"], checkpoint.model_type or checkpoint.model),
    }
    for name, (shards, ours) in sides.items():
        if shards != ours:
            raise UserError(
                f"the shards were labelled with {name} {shards}, this training has {ours}.",
                "Label with the same values, or change the recipe's.",
            )
