"""Ray runs the same stages to the same output."""

import pytest

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from tests import running
from tests.conftest import write_script

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'avcurate[ray]')")
pytest.importorskip("sentence_transformers")


@pytest.fixture(scope="module")
def cluster():
    # not one that another process left its address of
    ray.init(address="local", num_cpus=4, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_the_output_is_that_of_a_local_run(cluster, world, tmp_path):
    folder, _ = world
    script = tmp_path / "script.jsonl"
    changes = {
        "annotations": folder / "questions.json",
        "media": folder / "clips",
        "run.part_size": 9,
        "n": 4,
        "run.limit": 30,
    }
    changes |= {"model.engine": "scripted", "model.model": str(script)}
    running.ingest(tmp_path / "local", changes)
    right = {"a": lambda row: row % 5, "v": lambda row: (row + 2) % 5, "av": lambda row: 4 - row % 2}
    write_script(script, tmp_path / "local", right, n=4, dead=frozenset({3, 20}))
    rows = {}
    for name in ("local", "ray"):
        tallies = running.run("label-pem", tmp_path / name, {**changes, "run.executor": name})
        assert tallies["sample"].total == 30 and tallies["sample"].dead == {"played_failure": 2}
        run = RunDir(tmp_path / name)
        rows[name] = {s: [r for t in run.parts(s).rows() for r in t.to_pylist()] for s in ("sample", "label")}
    assert rows["ray"]["sample"] == rows["local"]["sample"]
    assert rows["ray"]["label"] == rows["local"]["label"]


@pytest.mark.slow
def test_what_stops_an_actor_is_a_message(cluster, world, tmp_path):
    folder, _ = world
    changes = {"annotations": folder / "questions.json", "media": folder / "clips", "run.executor": "ray"}
    changes |= {"model.model": str(tmp_path / "broken")}
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text('{"model_type": "qwen2_5_omni"}')
    with pytest.raises(UserError, match="cannot be loaded"):
        running.run("label-pem", tmp_path / "run", changes)
