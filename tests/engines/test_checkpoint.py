"""A model of the hub is identified by its commit, which stands for every byte, and loaded at it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("huggingface_hub")

from avcurate.engines.checkpoint import EMBEDDED_FOLDER, Checkpoint
from avcurate.errors import UserError
from tests.conftest import REPO

ONE, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache with the embedded model as ``some/model`` in two commits, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    root = tmp_path / "models--some--model"
    (root / "blobs").mkdir(parents=True)
    (root / "refs").mkdir()
    for commit in (ONE, OTHER):
        snapshot = root / "snapshots" / commit
        snapshot.mkdir(parents=True)
        for file in EMBEDDED_FOLDER.iterdir():
            blob = root / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
            shutil.copy2(file, blob)
            (snapshot / file.name).symlink_to(blob)
    (root / "refs/main").write_text(ONE)
    return root


def test_the_identity_is_the_commit(hub):
    checkpoint = Checkpoint("some/model")
    assert checkpoint.identity()["commit"] == ONE == checkpoint.pinned
    assert checkpoint.family is not None and checkpoint.family.name == "qwen2_5_omni"
    (hub / "refs/main").write_text(OTHER)
    assert checkpoint.pinned == ONE
    assert Checkpoint("some/model").identity()["commit"] == OTHER
    assert Checkpoint("some/model", revision=ONE).identity()["commit"] == ONE


def test_recorded_hashes_are_those_of_the_files(hub):
    blobs = Checkpoint("some/model").blobs()
    weights = hashlib.sha256((EMBEDDED_FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert blobs["model.safetensors"] == weights and "config.json" in blobs


def test_a_model_that_is_nowhere_has_no_commit(hub):
    checkpoint = Checkpoint("no/model")
    assert checkpoint.commit is None and checkpoint.blobs() == {} and checkpoint.family is None
    assert checkpoint.identity() == {"model": "no/model", "revision": None}


LOAD = """
import sys
from pathlib import Path
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.transformers_engine import TransformersEngine
engine = TransformersEngine(Checkpoint("some/model"))
before = engine.identity()["commit"]
Path(sys.argv[1]).write_text("b" * 40)
engine.setup()
print("LOADED", before, len(engine.provenance()["files"]))
"""


@pytest.mark.slow
def test_the_commit_of_the_identity_is_what_is_loaded(hub):
    """The branch moves between the two, to a commit without weights."""
    pytest.importorskip("transformers")
    (hub / "snapshots" / OTHER / "model.safetensors").unlink()
    environment = os.environ | {"HF_HUB_CACHE": str(hub.parent), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", LOAD, str(hub / "refs/main")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO, env=environment)
    assert f"LOADED {ONE}" in done.stdout, done.stderr[-2000:]


def test_a_model_that_is_not_there_is_said_to_be_missing_not_unknown(hub, tmp_path):
    with pytest.raises(UserError, match="neither in the local cache nor could it be fetched"):
        Checkpoint("nobody/no-such-model").family_in("transformers")
    with pytest.raises(UserError, match=r"there is no config\.json that can be read in"):
        Checkpoint(str(tmp_path)).family_in("transformers")


def test_a_named_family_does_not_replace_one_that_can_be_read():
    assert Checkpoint("embedded", None, "gemma4").family.name == "qwen2_5_omni"
    assert Checkpoint("no/model", None, "gemma4").family.name == "gemma4"


def test_the_context_is_found_where_each_family_keeps_it(tmp_path):
    for config in (
        {"thinker_config": {"text_config": {"max_position_embeddings": 7}}},
        {"text_config": {"max_position_embeddings": 7}},
        {"max_position_embeddings": 7},
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert Checkpoint(str(tmp_path)).longest_context == 7
    (tmp_path / "config.json").write_text("{}")
    assert Checkpoint(str(tmp_path)).longest_context is None
