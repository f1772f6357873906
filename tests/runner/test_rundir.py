"""What may be a run directory, and what is refused."""

import pytest

from avcurate.errors import RecipeChanged, UserError
from avcurate.runner.rundir import RunDir, check_unchanged, located


def test_a_kill_during_the_first_record_leaves_a_folder_that_can_be_used(tmp_path):
    (tmp_path / "lock").touch()
    (tmp_path / ".run.json.123-456.tmp").write_text("{")
    assert RunDir(tmp_path).begin("judge")["stages"] == {}
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / ".notes.tmp").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        RunDir(tmp_path).begin("judge")
    assert (tmp_path / ".notes.tmp").read_text() == "mine"


def test_media_are_found_where_they_were_or_beside_a_run_that_moved_or_where_one_says(tmp_path):
    (tmp_path / "old/clips").mkdir(parents=True)
    (tmp_path / "old/run").mkdir()
    run = RunDir(tmp_path / "old/run")
    record = run.begin("judge") | {"input": {"media": located(tmp_path / "old/clips", run.root)}}
    assert run.media(record).samefile(tmp_path / "old/clips")
    assert RunDir(tmp_path / "run").media(record) == tmp_path / "old/clips"
    (tmp_path / "old").rename(tmp_path / "new")
    assert RunDir(tmp_path / "new/run").media(record).samefile(tmp_path / "new/clips")
    with pytest.raises(UserError, match="does not exist"):
        RunDir(tmp_path / "run").media(record)
    assert RunDir(tmp_path / "run").media(record, tmp_path / "new/clips") == tmp_path / "new/clips"
    with pytest.raises(UserError, match=r"nowhere of .* does not exist"):
        run.media(record, tmp_path / "nowhere")


def test_a_run_from_before_commits_were_recorded_is_the_same_run():
    then = {"engine": {"model": "some/model", "revision": None, "family": "x@1"}, "n": 8}
    now = {"engine": {"model": "some/model", "commit": "a" * 40, "family": "x@1"}, "n": 8}
    record = {"stages": {"sample": {"identity": then}}}
    check_unchanged(record, "sample", now, force=False)
    with pytest.raises(RecipeChanged, match=r"n: 8 → 9"):
        check_unchanged(record, "sample", now | {"n": 9}, force=False)
    record = {"stages": {"sample": {"identity": now}}}
    moved = {"engine": now["engine"] | {"commit": "b" * 40}, "n": 8}
    with pytest.raises(RecipeChanged, match="commit"):
        check_unchanged(record, "sample", moved, force=False)
