"""label-pem from the command line: exit codes, JSON, quiet pipes, changed recipes, retry."""

import json
import subprocess
import sys

import pytest

from tests import running
from tests.conftest import write_questions, write_script

pytest.importorskip("sentence_transformers")
pytestmark = pytest.mark.slow


def avcurate(*words):
    return subprocess.run([sys.executable, "-m", "avcurate.cli.app", *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, tiny_clip):
    """Thirty questions, two of which fail, and the arguments of the command."""
    folder = tmp_path_factory.mktemp("command")
    write_questions(folder / "q.json", 30, clip=tiny_clip.name)
    script = folder / "script.jsonl"
    running.ingest(folder / "ids", {"annotations": folder / "q.json", "media": tiny_clip.parent})
    write_script(script, folder / "ids", {"a": 0, "v": 8, "av": 8}, dead=frozenset({3, 4}))
    words = [folder / "q.json", "--media", tiny_clip.parent, "--engine", "scripted", "--model", script]
    return folder, words, script


def test_a_run_is_quiet_in_a_pipe_and_prints_json(inputs):
    folder, words, _ = inputs
    done = avcurate("label-pem", *words, "-o", folder / "run", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["labels"]["Visual"] == 28 and summary["stages"]["sample"]["dead"] == {"played_failure": 2}
    assert done.stderr == "" and "\x1b" not in done.stdout
    shown = avcurate("status", folder / "run", "--dead").stdout
    assert "played_failure" in shown and "--only" in shown and "\x1b" not in shown

    changed = avcurate("label-pem", *words, "-o", folder / "run", "--n", "4")
    assert changed.returncode == 1 and "n: 8 → 4" in changed.stderr and "--force" in changed.stderr
    assert "Traceback" not in changed.stderr

    relabelled = json.loads(avcurate("label", folder / "run", "--tau-acc", "1.0", "--json").stdout)
    assert relabelled["rows"] == 28 and relabelled["changed"] == 0


def test_too_many_dead_rows_stop_the_run_resumably(inputs):
    folder, words, _ = inputs
    stopped = avcurate("label-pem", *words, "-o", folder / "strict", "--fail-on-dead", "0.01", "--part-size", "25")
    assert stopped.returncode == 3 and "2 of 25 rows died" in stopped.stderr
    resumed = avcurate("label-pem", *words, "-o", folder / "strict", "--part-size", "25", "--json")
    assert resumed.returncode == 0 and json.loads(resumed.stdout)["labels"]["Visual"] == 28


def test_retry_processes_dead_rows_with_a_reason_again(inputs):
    folder, words, _ = inputs
    assert avcurate("label-pem", *words, "-o", folder / "again").returncode == 0
    other = avcurate("retry", folder / "again", "--reason", "media_timeout", "--json")
    assert other.returncode == 1 and "Reasons of its dead rows: played_failure." in other.stderr
    avcurate("retry", folder / "again", "--reason", "played_failure", "--json")
    dead_rows = json.loads(avcurate("status", folder / "again", "--dead", "--json").stdout)["dead_rows"]
    assert [x["attempt"] for x in dead_rows] == [2, 2]
