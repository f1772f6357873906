"""Export for ms-swift: rows, media of whole and cut clips, dead ones, and the plugin's rewards against ours."""

import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from avcurate.errors import MediaError, UserError
from avcurate.media.extract import extract
from avcurate.media.probe import probe
from avcurate.publish.selection import Selection
from avcurate.publish.swift import export_swift
from avcurate.runner.rundir import RunDir
from avcurate.train.rewards import answer_accuracy, preference_and_structure, structure
from tests import running
from tests.conftest import REPO

GOOD = "<mod>Audio</mod><v>a ring</v><a>a bell</a><sum>so bell</sum><ans>bell</ans>"


@pytest.fixture(scope="module")
def exported(world, tmp_path_factory):
    folder, _ = world
    out = tmp_path_factory.mktemp("swift")
    changes = {"annotations": folder / "questions.json", "media": folder / "clips", "n": 2}
    running.run("label-pem", out / "run", changes)
    seen = []
    facts = export_swift(RunDir(out / "run"), out / "shards", Selection(0.3), tick=lambda *x: seen.append(x))
    assert seen[-1][0] == seen[-1][1] == sum(facts["rows"].values())
    return out / "shards", facts


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.slow
def test_rows_name_media_that_exist_and_answers_that_rewards_accept(exported):
    out, facts = exported
    rows = read(out / "train.jsonl") + read(out / "validation.jsonl")
    assert len(rows) == sum(facts["rows"].values()) > 30 and facts["dead"] == 0 and not read(out / "dead.jsonl")
    for row in rows:
        (message,) = row["messages"]
        assert message["role"] == "user" and message["content"].startswith("<video><audio>")
        assert message["content"].count("<audio>") == message["content"].count("<video>") == 1
        assert row["solution"] in row["choices"] and row["pem"] in ("Audio", "Visual", "Audio-Visual")
        (video,), (audio,) = row["videos"], row["audios"]
        assert Path(video).exists() and probe(Path(audio)).has_audio and not probe(Path(audio)).has_video
    assert "--external_plugins avcurate_rewards.py" in (out / "README.md").read_text()
    with pytest.raises(UserError, match="not empty"):
        export_swift(RunDir(out.parent / "run"), out, Selection(0.3))


@pytest.mark.slow
def test_the_plugin_gives_the_trainers_own_rewards(exported, monkeypatch):
    """Without ms-swift, whose registry is a base class and a dictionary; the next test has a real one."""
    out, _ = exported
    rewards = types.ModuleType("swift.rewards")
    rewards.ORM, rewards.orms = type("ORM", (), {"__init__": lambda self, args=None, **_: None}), {}
    monkeypatch.setitem(sys.modules, "swift", types.ModuleType("swift"))
    monkeypatch.setitem(sys.modules, "swift.rewards", rewards)
    spec = importlib.util.spec_from_file_location("avcurate_rewards", out / "avcurate_rewards.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    row = {"solution": ["bell", "drum"], "pem": ["Audio", "Visual"], "choices": [["bell", "drum"]] * 2, "extra": [1, 2]}
    texts = [GOOD, GOOD]
    rewarded = {name: reward()(texts, **row) for name, reward in rewards.orms.items()}
    assert (
        rewarded["avcurate_accuracy"] == [answer_accuracy(GOOD, a, ["bell", "drum"]) for a in row["solution"]] == [1, 0]
    )
    assert rewarded["avcurate_preference"] == [preference_and_structure(GOOD, p) for p in row["pem"]] == [1, 0]
    assert rewarded["avcurate_structure"] == [structure(GOOD)] * 2 and rewarded["avcurate_pem"] == [1, 0]
    assert rewarded["avcurate_format"] == [0, 0]


IN_SWIFT = """
import json, sys
from swift.dataset import RowPreprocessor, load_dataset
from swift.rewards import ORM, orms
from swift.utils import import_external_file
folder, good = sys.argv[1:]
known = set(orms)
import_external_file(folder + "/avcurate_rewards.py")
rows, _ = load_dataset(folder + "/train.jsonl", num_proc=1, remove_unused_columns=False)
rows = [dict(rows[i]) for i in range(len(rows))]
columns = RowPreprocessor.rows_to_batched(rows)
texts = [good.format(pem=r["pem"], answer=r["solution"]) for r in rows]
ours = {n: orms[n](args=None) for n in sorted(set(orms) - known)}
assert all(isinstance(o, ORM) for o in ours.values())
print("RESULT" + json.dumps([{n: o(texts, **columns) for n, o in ours.items()}, rows]))
"""


@pytest.mark.slow
def test_a_real_ms_swift_loads_the_rows_and_gives_the_same_rewards(exported):
    """As its GRPO does: the plugin by its importer, rows by its loader with all columns. No step is taken: it has no
    Omni model that trains on a CPU in reasonable time.
    """
    python = REPO / ".venv-swift/bin/python"
    if not python.exists():
        pytest.skip("ms-swift stands in an environment of its own; `make swift-test` makes it and runs this")
    out, facts = exported
    good = "<mod>{pem}</mod><v>a ring</v><a>a bell</a><sum>so bell</sum><ans>{answer}</ans>"
    done = subprocess.run(
        [python, "-c", IN_SWIFT, str(out), good], capture_output=True, text=True, cwd=out.parent, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rewarded, rows = json.loads(done.stdout.rpartition("RESULT")[2])
    assert len(rows) == facts["rows"]["train"]
    for theirs, ours in zip(rows, read(out / "train.jsonl"), strict=True):
        assert {k: theirs[k] for k in ours} == ours
    names = {f"avcurate_{n}" for n in ("accuracy", "format", "pem", "preference", "structure")}
    assert rewarded.keys() == names and set(rewarded.pop("avcurate_format")) == {0.0}
    assert all(set(values) == {1.0} for values in rewarded.values())


def test_the_rewards_need_neither_torch_nor_transformers():
    code = "import sys, avcurate.train.rewards; sys.exit(bool({'torch', 'transformers', 'trl'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_parts_of_clips_are_cut_exactly(tiny_clip, tmp_path):
    extract(tiny_clip, tmp_path / "a.wav", "audio", 0.5, 1.25)
    extract(tiny_clip, tmp_path / "v.mp4", "visual", 0.5, 1.5)
    sound, picture = probe(tmp_path / "a.wav"), probe(tmp_path / "v.mp4")
    assert sound.duration == pytest.approx(0.75, abs=0.02) and picture.duration == pytest.approx(1.0, abs=0.11)
    assert not picture.has_audio and (picture.width, picture.height) == (64, 48)
    with pytest.raises(MediaError, match="nothing from"):
        extract(tiny_clip, tmp_path / "b.wav", "audio", 9.0, 10.0)
    with pytest.raises(MediaError, match="has no picture"):
        extract(tmp_path / "a.wav", tmp_path / "b.mp4", "visual")
    (tmp_path / "broken.mp4").write_bytes(tiny_clip.read_bytes()[:900])
    with pytest.raises(MediaError):
        extract(tmp_path / "broken.mp4", tmp_path / "b.wav", "audio")
    assert not (tmp_path / "b.wav").exists()
