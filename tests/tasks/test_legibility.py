"""A model with unreadable answers: a warning, or a resumable stop; cut-off answers are counted."""

import json
import logging

import pytest

from avcurate.errors import TooManyDead
from avcurate.runner.rundir import RunDir
from avcurate.tasks.label_pem.summary import summarise
from tests import running
from tests.attack.cases import CASES


@pytest.mark.parametrize("task", ["label-pem", "eval", "dominance"])
def test_a_model_that_says_nothing_readable_is_noticed(task, tmp_path, caplog):
    case = CASES[task](tmp_path / "all")
    case.fix()
    case.parts["engine"].say = lambda request: "Who can say. It may be this, or it may be that other thing, or none."
    changes = {**case.changes, "n": 32, "run.part_size": 2}
    with caplog.at_level(logging.WARNING):
        running.run(case.task, tmp_path / "warned", changes, **case.parts)
    assert "answers cannot be read" in caplog.text
    with pytest.raises(TooManyDead, match=r"100% of .* answers cannot be read; the limit is 50%"):
        running.run(case.task, tmp_path / "stopped", changes | {"fail_on_unreadable": 0.5}, **case.parts)
    running.run(case.task, tmp_path / "stopped", changes, **case.parts)
    assert json.loads((tmp_path / "stopped/run.json").read_text())["complete"]


def test_readable_answers_never_stop_a_run(tmp_path, caplog):
    case = CASES["label-pem"](tmp_path / "all")
    with caplog.at_level(logging.WARNING):
        case.go(changes={"fail_on_unreadable": 0.0, "n": 8})
    assert "cannot be read" not in caplog.text
    settings = summarise(RunDir(case.out))["settings"]
    assert settings["av"]["cut"] == 0 and settings["av"]["unparseable"] == 0
