"""Which rows are exported: filters by hand, groups balanced and capped, clips included, tar shards."""

import json
import tarfile

import pyarrow.parquet as pq
import pytest

from avcurate.errors import UserError
from avcurate.publish.selection import Selection, choose
from avcurate.publish.shards import Form, export_run
from tests.running import rows_of
from tests.viewer.conftest import runs  # noqa: F401


def exported(folder):
    return [r for p in sorted((folder / "data").glob("*.parquet")) for r in pq.read_table(p).to_pylist()]


def test_filters_mean_what_they_say(runs, tmp_path):  # noqa: F811
    rows = [r for r in rows_of(runs[0], "label") if r["pem"]]
    wanted = {
        "only": (Selection(only={"pem": ("Audio", "Visual")}), lambda r: r["pem"] in ("Audio", "Visual")),
        "hard": (Selection(difficulty=(0.9, 1.0)), lambda r: r["av_k"] >= 0.9 * r["av_asked"]),
        "sure": (Selection(min_confidence=0.9), lambda r: r["confidence"] >= 0.9),
        "rest": (Selection(dropped=frozenset({rows[0]["question_id"]})), lambda r: r is not rows[0]),
    }
    for name, (selection, meant) in wanted.items():
        export_run(runs[0], tmp_path / name, Form(), selection)
        got = {r["question_id"] for r in exported(tmp_path / name)}
        assert got == {r["question_id"] for r in rows if meant(r)} != set(), name
    for bad in (Selection(only={"nothing": ("x",)}), Selection(balance="answer"), Selection(drop_blind=True)):
        with pytest.raises(UserError):
            export_run(runs[0], tmp_path / "bad", Form(), bad)
    with pytest.raises(UserError, match="no row is left"):
        export_run(runs[0], tmp_path / "bad", Form(), Selection(difficulty=(0.0, 0.1)))
    assert not (tmp_path / "bad").exists()


def test_balanced_groups_count_alike_and_capped_ones_are_drawn_by_seed(runs, tmp_path):  # noqa: F811
    facts = export_run(runs[0], tmp_path / "b", Form(), Selection(0.0, balance="pem"))
    rows = exported(tmp_path / "b")
    sums = {}
    for r in rows:
        sums[r["pem"]] = sums.get(r["pem"], 0) + r["weight"]
    assert len(sums) == 3 and max(sums.values()) == pytest.approx(min(sums.values()))
    assert sum(sums.values()) == pytest.approx(len(rows))
    assert facts["weights"]["train"] == {r["pem"]: pytest.approx(r["weight"]) for r in rows}
    assert "makes each pem count alike" in (tmp_path / "b/README.md").read_text().replace("make each", "makes each")
    capped = choose(runs[0], Selection(0.0, at_most=2))
    assert capped.counts["train"] == {"Audio": 2, "Visual": 2, "Audio-Visual": 2} and capped.ids is not None
    assert capped.ids == choose(runs[0], Selection(0.0, at_most=2)).ids
    assert capped.ids["train"] != choose(runs[0], Selection(0.0, at_most=2, seed=5)).ids["train"]
    export_run(runs[0], tmp_path / "c", Form(), Selection(0.0, at_most=2))
    assert {r["question_id"] for r in exported(tmp_path / "c")} == capped.ids["train"]


def test_tar_shards_hold_rows_beside_clips_and_have_the_same_bytes(runs, tmp_path):  # noqa: F811
    for name in ("a", "b"):
        export_run(runs[0], tmp_path / name, Form("webdataset"), Selection(0.0))
    [shard] = (tmp_path / "a/data").glob("train-*.tar")
    assert shard.read_bytes() == (tmp_path / "b/data" / shard.name).read_bytes()
    clip = (runs[0].root.parent / "clips/0_clip.mp4").read_bytes()
    rows = {r["question_id"]: r for r in rows_of(runs[0], "label") if r["pem"]}
    with tarfile.open(shard) as tar:
        names = tar.getnames()
        assert len(names) == 2 * len(rows)
        for text, media in zip(names[::2], names[1::2], strict=True):
            key = text.removesuffix(".json")
            assert media == f"{key}.mp4" and tar.extractfile(media).read() == clip
            assert json.loads(tar.extractfile(text).read())["pem"] == rows[key]["pem"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is not there"):
        export_run(runs[0], tmp_path / "x", Form("webdataset", tmp_path / "empty"), Selection(0.0))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_clips_in_the_shards_are_what_datasets_decodes(runs, tmp_path, kind):  # noqa: F811
    datasets = pytest.importorskip("datasets")
    export_run(runs[0], tmp_path / kind, Form(embed=kind, licence="cc0-1.0"), Selection(0.0, at_most=1))
    rows = exported(tmp_path / kind)
    whole = (runs[0].root.parent / "clips/0_clip.mp4").read_bytes()
    for row in rows:
        assert row["clip"]["bytes"] == whole if kind == "video" else row["clip"]["bytes"][:4] == b"RIFF"
    loaded = datasets.Dataset.from_parquet(str(next((tmp_path / kind / "data").glob("train-*.parquet"))))
    assert type(loaded.features["clip"]).__name__ == kind.capitalize()
    assert loaded.num_rows == len(rows) == 3
    with pytest.raises(UserError, match="cannot be a column"):
        export_run(runs[0], tmp_path / "x", Form("jsonl", embed=kind), Selection())
