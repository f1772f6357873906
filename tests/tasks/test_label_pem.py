"""The main task end to end: the embedded model on a world with known truth, and on real clips."""

import json
import subprocess
import sys

import pytest

from avcurate.demo.build import build_world
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import dead_rows
from avcurate.tasks.label_pem.relabel import confusion
from tests import running
from tests.conftest import LONG

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")


def label_pem(*words):
    command = [sys.executable, "-m", "avcurate.cli.app", "label-pem", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held-out")
    build_world(folder / "world", 90, seed=202, workers=2)
    summary = label_pem(
        folder / "world/questions.json", "--media", folder / "world/clips", "-o", folder / "run", "--part-size", 50
    )
    return folder, summary


@pytest.mark.slow
def test_labels_agree_with_the_known_truth(labelled):
    folder, _ = labelled
    result = confusion(RunDir(folder / "run"), folder / "world/truth.jsonl")
    for name in ("Audio", "Visual", "Audio-Visual"):
        assert result[f"{name}_precision"] >= 0.95, result
        assert result[f"{name}_recall"] >= 0.80, result


@pytest.mark.slow
def test_every_row_is_accounted_for_and_early_exit_saves(labelled):
    folder, summary = labelled
    for stage in summary["stages"].values():
        assert stage["in"] == stage["kept"] + sum(stage["filtered"].values()) + sum(stage["dead"].values())
    assert 0 < summary["early_exit"]["saved"] < 1
    assert (folder / "run/report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_exhaustive_sampling_gives_the_same_labels_and_costs_more(labelled, tmp_path):
    folder, _ = labelled
    label_pem(
        folder / "world/questions.json", "--media", folder / "world/clips", "-o", tmp_path / "full", "--limit", 60,
        "--exhaustive",
    )  # fmt: skip
    rows = [
        {r["question_id"]: r for t in RunDir(run).parts("label").rows() for r in t.to_pylist()}
        for run in (folder / "run", tmp_path / "full")
    ]
    lazy, full = ({i: r for i, r in x.items() if i in rows[1]} for x in rows)
    assert len(full) == 60 and {i: r["pem"] for i, r in lazy.items()} == {i: r["pem"] for i, r in full.items()}
    asked = [sum(len(r[f"{s}_responses"]) for r in x.values() for s in ("a", "v", "av")) for x in (lazy, full)]
    assert asked[0] < asked[1] == 60 * 3 * 8


@pytest.mark.slow
def test_exported_shards_open_everywhere_and_split_by_video(labelled):
    import duckdb
    import pandas
    import polars

    from avcurate.publish.selection import Selection
    from avcurate.publish.shards import Form, export_run

    folder, _ = labelled
    facts = export_run(RunDir(folder / "run"), folder / "shards", Form("parquet"), Selection(0.3, 0.0, 0))
    files = str(folder / "shards/data/*.parquet")
    total = sum(facts["rows"].values())
    assert duckdb.sql(f"select count(*) from '{files}'").fetchall()[0][0] == total == polars.read_parquet(files).height
    sides = [set(pandas.read_parquet(p)["video_id"]) for p in sorted((folder / "shards/data").glob("*.parquet"))]
    assert len(sides) == 2 and not sides[0] & sides[1]

    import datasets

    loaded = datasets.load_dataset(str(folder / "shards"), cache_dir=str(folder / "cache"))
    assert sum(loaded.num_rows.values()) == total and set(loaded) == {"train", "validation"}
    assert set(loaded["train"]["pem"]) <= {"Audio", "Visual", "Audio-Visual"}


@pytest.mark.slow
def test_real_questions_on_real_clips(shared, tmp_path):
    limit = 51 if LONG else 20
    real = shared / "annotations/avqa_real.json"
    summary = label_pem(real, "--media", shared / "clips", "-o", tmp_path / "r", "--limit", limit)
    sample = summary["stages"]["sample"]
    assert summary["stages"]["ingest"]["in"] == limit
    assert sample["in"] == sample["kept"] + sum(sample["filtered"].values()) + sum(sample["dead"].values())
    assert set(sample["filtered"]) <= {"no_audio_track"} and sample["dead"] == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["daily_omni_qa.json", "music_avqa_val.json", "valor32k_avqa_val.csv", "avhbench_align_ft_qa.json"]
)
def test_missing_media_are_dead_rows_with_that_reason(shared, tmp_path, file):
    (tmp_path / "media").mkdir()
    changes = {"annotations": shared / "annotations" / file, "media": tmp_path / "media"}
    tally = running.ingest(tmp_path / "run", changes)
    assert tally.kept == 0 and tally.dead["media_missing"] > 0.9 * (tally.total - sum(tally.filtered.values()))
    assert all(r["message"] for r in dead_rows(RunDir(tmp_path / "run"))[:50])
