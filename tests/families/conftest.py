"""Checkpoints that several family tests share."""

import pytest

from tests.families import tiny_audio, tiny_gemma, tiny_qwen

BUILDERS = {
    "qwen2_5_omni": tiny_qwen,
    "qwen3_omni_moe": tiny_qwen,
    "gemma4": tiny_gemma,
    "gemma4_unified": tiny_gemma,
    "qwen2_audio": tiny_audio,
    "audioflamingo3": tiny_audio,
}


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory):
    """A function from a family's name to the folder of a tiny checkpoint of it."""
    folders = {}

    def build(kind):
        pytest.importorskip("transformers")
        if kind not in folders:
            folders[kind] = BUILDERS[kind].build(kind, tmp_path_factory.mktemp(kind) / "model")
        return folders[kind]

    return build
