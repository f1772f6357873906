"""Exported shards as questions to train on; what does not fit the model is refused, both sides named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import UserError
from avcurate.schema import PEM, SCHEMA_VERSION
from avcurate.train.recipe import TrainRecipe

COLUMNS = ["question_id", "media", "start", "end", "question", "choices", "answer", "pem"]
SFT_COLUMNS = ("av_responses", "av_correct")


@dataclass(frozen=True)
class Shards:
    """Questions of one split, and where their media lie."""

    rows: list[dict[str, Any]]
    media: Path
    facts: dict[str, Any]


def read_shards(folder: Path, split: str = "train", columns: Sequence[str] = ()) -> Shards:
    """The questions of a split, in the order of the shards; ``columns`` come along.

    Raises:
        UserError: the folder holds no shards of this version, none of this split, or a row without a PEM.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / "shards.json").read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise UserError(f"{folder} holds no shards: {e}", "Make them with `avcurate export RUN -o SHARDS`.") from None
    if not isinstance(facts, dict):
        raise UserError(f"{folder}/shards.json is broken.", "Export the run again.")
    if facts.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{folder} has schema version {facts.get('schema_version')}, this avcurate has {SCHEMA_VERSION}.",
            "Export the run again with this avcurate.",
        )
    missing = [k for k in ("media", "fps", "sample_rate", "processor", "rows", "split", "thresholds") if k not in facts]
    if missing:
        raise UserError(f"{folder}/shards.json does not say {missing[0]!r}.", "Export the run again.")
    files = sorted((folder / "data").glob(f"{split}-*.parquet"))
    if not files:
        raise UserError(f"{folder} holds no Parquet shard of the split {split!r}.", "Export with --to parquet.")
    rows = [row for file in files for row in _rows(file, [*COLUMNS, *columns])]
    labels = {str(p) for p in PEM}
    bad = next((r for r in rows if r["pem"] not in labels), None)
    if bad is not None:
        raise UserError(f"{folder}: question {bad['question_id']} has no PEM ({bad['pem']}).", "Export again.")
    return Shards(rows, Path(facts["media"]), facts)


def _rows(file: Path, columns: list[str]) -> list[dict[str, Any]]:
    try:
        there = pq.read_schema(file).names
        absent = [c for c in columns if c not in there]
        if absent:
            raise UserError(f"{file} has no column {absent[0]!r}.", "Export the run again with this avcurate.")
        found: list[dict[str, Any]] = pq.read_table(file, columns=columns).to_pylist()
    except (OSError, ValueError) as e:
        raise UserError(f"{file} cannot be read: {str(e)[:200]}", "Export the run again.") from None
    return found


def refuse_mismatch(facts: dict[str, Any], recipe: TrainRecipe, checkpoint: Checkpoint) -> None:
    """Refuse shards that were labelled on other media values than the model is trained on.

    Labels say what this model's family could hear and see at one frame rate; at another they say nothing.

    Raises:
        UserError: frame rate, sample rate or the processor's family differ; the message names both sides.
    """
    labelled = Checkpoint(facts["processor"]["model"], facts["processor"]["revision"])
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
