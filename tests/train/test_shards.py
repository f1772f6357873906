"""Shards are read whole, and those that do not fit the model are refused, naming both sides."""

import json
import shutil
from collections import Counter

import pytest

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import UserError
from avcurate.train.shards import ROUNDS, drawn_by_weight, read_shards, refuse_mismatch
from tests.train.jobs import load_train


def changed(shards, tmp_path, **facts):
    shutil.copytree(shards, tmp_path / "s")
    original = json.loads((tmp_path / "s/shards.json").read_text())
    (tmp_path / "s/shards.json").write_text(json.dumps(original | facts))
    return tmp_path / "s"


def test_rows_come_in_order_and_missing_splits_are_named(shards):
    whole = read_shards(shards)
    assert len(whole.rows) > 30 and whole.rows == sorted(whole.rows, key=lambda r: r["question_id"])
    with pytest.raises(UserError, match="validation"):
        read_shards(shards, "validation")
    with pytest.raises(UserError, match="holds no shards"):
        read_shards(shards / "data")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"fps": 1.0}, "frame rate 1.0, this training has 2.0"),
        ({"sample_rate": 8000}, "sample rate 8000, this training has 16000"),
        ({"processor": {"model": "/nowhere", "revision": None}}, "does not exist"),
    ],
)
def test_other_media_values_are_refused(shards, tmp_path, facts, says):
    altered = read_shards(changed(shards, tmp_path, **facts))
    with pytest.raises(UserError, match=says):
        refuse_mismatch(altered.facts, load_train("train-demo-stage-1"), Checkpoint("embedded"))


def test_another_schema_or_family_is_refused(shards, tmp_path):
    with pytest.raises(UserError, match="schema version 1, this avcurate has 3"):
        read_shards(changed(shards, tmp_path, schema_version=1))
    other = tmp_path / "model"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "qwen3_omni_moe"}')
    with pytest.raises(UserError, match="processor qwen2_5_omni, this training has qwen3_omni_moe"):
        refuse_mismatch(read_shards(shards).facts, load_train("train-demo-stage-1"), Checkpoint(str(other)))
    refuse_mismatch(read_shards(shards).facts, load_train("train-demo-stage-1"), Checkpoint("embedded"))


def test_a_shard_that_was_not_exported_is_refused(shards, tmp_path):
    from avcurate.store.manifest import digests

    folder = tmp_path / "s"
    shutil.copytree(shards, folder)
    facts = json.loads((folder / "shards.json").read_text())
    (folder / "shards.json").unlink()
    (folder / "shards.json").write_text(json.dumps(facts | {"files": digests(folder)}))
    assert read_shards(folder).rows
    shutil.copy(folder / "data/train-00000.parquet", folder / "data/train-00009.parquet")
    with pytest.raises(UserError, match="is not one of the exported files"):
        read_shards(folder)


def test_rows_are_drawn_as_often_as_their_weights_say():
    rows = [{"question_id": str(i), "weight": w} for i, w in enumerate([0.5] * 10 + [2.0] * 5 + [1 / 3] * 3)]
    drawn = Counter(r["question_id"] for r in drawn_by_weight(rows, seed=1))
    mean = sum(r["weight"] for r in rows) / len(rows)
    for row in rows:
        assert abs(drawn[row["question_id"]] - ROUNDS * row["weight"] / mean) < 1
    assert abs(sum(drawn.values()) - ROUNDS * len(rows)) <= 1
    heavy = sum(drawn[str(i)] for i in range(10, 15)) / sum(drawn.values())
    assert heavy == pytest.approx(10 / 16, abs=0.01)
    assert drawn_by_weight(rows, seed=1) == drawn_by_weight(rows, seed=1) != drawn_by_weight(rows, seed=2)
    plain = [{"question_id": "a"}, {"question_id": "b", "weight": 1.0}]
    assert drawn_by_weight(plain, seed=1) is plain
    for bad in (None, 0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="question 0 has the weight"):
            drawn_by_weight([{"question_id": "0", "weight": bad}, {"question_id": "1", "weight": 2.0}], seed=1)
