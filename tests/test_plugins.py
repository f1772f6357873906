"""The example package in docs/examples/plugin: its plug-ins are listed, and each is used by name."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import REPO, ffmpeg
from tests.example_package import install_example


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment with the example package installed."""
    site = tmp_path_factory.mktemp("site")
    install_example(site)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(REPO)])}


def avcurate(env, *words):
    command = [sys.executable, "-m", "avcurate.cli.app", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_they_are_listed_with_their_package(installed):
    listed = json.loads(avcurate(installed, "plugins", "--json"))
    names = {kind: {o["name"] for o in all_ if o["package"] == "avcurate-example"} for kind, all_ in listed.items()}
    assert names == {
        "task": {"lengths"},
        "format": {"pub-quiz"},
        "engine": {"first-choice"},
        "model family": {"example_omni"},
        "reward": {"brevity"},
        "algorithm": {"reinforce"},
    }
    assert "lengths" in avcurate(installed, "--help")


@pytest.mark.slow
def test_its_task_is_a_command_with_every_guarantee(installed, tmp_path):
    rows = [{"clip": c, "caption": t} for c, t in (("a", "one two"), ("b", "one"), ("c", "one two three four"))]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert "avcurate lengths captions.jsonl" in avcurate(installed, "lengths", "--help")
    words = ["lengths", tmp_path / "c.jsonl", "--least", 2, "-o", tmp_path / "run", "--json"]
    summary = json.loads(avcurate(installed, *words))
    assert summary["mean_words"] == 3 and summary["stages"]["lengths"]["dead"] == {"too_short": 1}
    assert json.loads(avcurate(installed, *words))["stages"] == summary["stages"]
    assert json.loads(avcurate(installed, "status", tmp_path / "run", "--json"))["state"] == "finished"
    assert json.loads(avcurate(installed, "verify", tmp_path / "run", "--json"))["damaged"] == []
    avcurate(installed, "report", tmp_path / "run")
    again = json.loads(avcurate(installed, "retry", tmp_path / "run", "--json"))
    assert again["stages"]["lengths"]["dead"] == {"too_short": 1}
    # a different threshold needs a new run
    refused = [sys.executable, "-m", "avcurate.cli.app", "retry", str(tmp_path / "run"), "--set", "least=1"]
    done = subprocess.run(refused, capture_output=True, text=True, env=installed)
    assert done.returncode == 1 and "least: 2 → 1" in done.stderr


@pytest.mark.slow
def test_its_format_and_engine_label(installed, tmp_path):
    pytest.importorskip("sentence_transformers")
    media = tmp_path / "clips"
    media.mkdir()
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=4:d=1", "-f", "lavfi", "-i", "sine=440:d=1", str(media / "a.mp4"))
    rows = [{"clip": "a.mp4", "ask": f"Which, {i}?", "options": ["red", "blue"], "solution": i} for i in (0, 1)]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    words = ["label-pem", tmp_path / "q.json", "--media", media, "-e", "first-choice", "-o", tmp_path / "run", "--json"]
    summary = json.loads(avcurate(installed, *words))
    assert summary["stages"]["sample"]["kept"] == 2 and summary["settings"]["av"]["right"] == 8
