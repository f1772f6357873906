"""What may be a run directory, and what is refused."""

import pytest

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir


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
