"""Checkpoints that several tests of families ask."""

import pytest

from tests.families import tiny_qwen


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory):
    """A function from a family's name to the folder of a tiny checkpoint of it."""
    made = {}

    def build(kind):
        pytest.importorskip("transformers")
        if kind not in made:
            made[kind] = tiny_qwen.build(kind, tmp_path_factory.mktemp(kind) / "model")
        return made[kind]

    return build
