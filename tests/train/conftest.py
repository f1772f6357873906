"""Shards of a demo world with true PEMs, as `avcurate export` writes them."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avcurate.schema import SCHEMA_VERSION
from avcurate.store.atomic import sha256


@pytest.fixture(scope="session")
def shards(world, tmp_path_factory):
    folder, items = world
    out = tmp_path_factory.mktemp("shards")
    rows = []
    for item in items:
        truth = item.truth()
        if truth["pem"] is not None:
            rows.append(
                {
                    "question_id": f"q{item.number:04d}",
                    "media": f"{item.clip.name}.mp4",
                    "media_sha256": sha256(folder / f"clips/{item.clip.name}.mp4"),
                    "start": None,
                    "end": None,
                    "question": item.draft.text,
                    "choices": list(item.draft.choices),
                    "answer": item.draft.answer,
                    "pem": truth["pem"],
                }
            )
    (out / "data").mkdir()
    table = pa.Table.from_pylist(rows)
    for name in ("start", "end"):
        table = table.set_column(table.column_names.index(name), name, pa.nulls(len(rows), pa.float64()))
    pq.write_table(table, out / "data/train-00000.parquet")
    facts = {
        "schema_version": SCHEMA_VERSION,
        "fps": 2.0,
        "sample_rate": 16_000,
        "processor": {"model": "embedded", "revision": None},
        "media": str(folder / "clips"),
        "rows": {"train": len(rows), "validation": 0},
        "split": {},
        "thresholds": {},
    }
    (out / "shards.json").write_text(json.dumps(facts))
    return out
