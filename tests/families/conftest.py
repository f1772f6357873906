"""Checkpoints that several family tests share."""

import pytest

from tests.families import tiny_qwen


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory):
    """A function from a family's name to the folder of a tiny checkpoint of it."""
    folders = {}

    def build(kind):
        pytest.importorskip("transformers")
        if kind not in folders:
            folders[kind] = tiny_qwen.build(kind, tmp_path_factory.mktemp(kind) / "model")
        return folders[kind]

    return build
