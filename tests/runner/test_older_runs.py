"""A run of schema version 2 (rows stored whole) still opens: status, label, sweep, export. It is not resumed."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.errors import UserError
from avcurate.runner.status import RESUMES

OLD = Path(__file__).parent / "data/run-v2"


@pytest.fixture
def old(tmp_path):
    shutil.copytree(OLD, tmp_path / "run")
    return tmp_path / "run"


def avcurate(*arguments):
    return CliRunner().invoke(app, [str(w) for w in arguments])


def json_of(*arguments):
    done = avcurate(*arguments, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_it_is_read_relabelled_and_exported(old, tmp_path):
    assert json_of("status", old)["state"] == "finished"
    assert json_of("status", old)["stages"]["label"]["kept"] == 12
    assert json_of("label", old, "--tau-acc", 0.9)["rows"] == 12
    assert len(json_of("sweep", old)) > 10
    proposed = json_of("sweep", old, "--propose")
    assert len(proposed["sweep"]) > 10
    # nine questions of twelve solve some setting; a pilot needs more
    assert proposed["tau_cot"]["threshold"] is None and 0 < proposed["tau_cot"]["count"] < 37
    assert json_of("verify", old)["damaged"] == []
    done = avcurate("export", old, "-o", tmp_path / "shards", "--media", tmp_path)
    assert done.exit_code == 0, done.exception
    rows = pq.read_table(tmp_path / "shards/data").to_pylist()
    assert len(rows) == 10 and {r["pem"] for r in rows} == {"Audio", "Visual", "Audio-Visual"}


def test_it_is_not_resumed_and_the_message_says_what_to_do(old, tmp_path):
    (tmp_path / "q.json").write_text("[]")
    arguments = ["label-pem", tmp_path / "q.json", "--media", tmp_path, "-o", old]
    for done in (avcurate(*arguments), avcurate("retry", old)):
        assert isinstance(done.exception, UserError) and "start a new run" in done.exception.hint.lower()


def test_it_is_finished_when_it_has_stages_and_all_are(old):
    record = json.loads((old / "run.json").read_text())
    for stages in ({}, record["stages"] | {"label": record["stages"]["label"] | {"complete": False}}):
        (old / "run.json").write_text(json.dumps(record | {"stages": stages}))
        assert json_of("status", old)["state"] == RESUMES
