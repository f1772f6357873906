"""label-pem through a real vLLM server: the canary passes, tokens are counted, labels are true."""

import sys

import pytest

from avcurate.demo.build import build_world
from avcurate.engines.checkpoint import EMBEDDED_FOLDER
from avcurate.runner.rundir import RunDir
from avcurate.tasks.label_pem.relabel import confusion
from tests import running
from tests.engines.vllm_process import vllm_server

pytest.importorskip("vllm", reason="vLLM is not installed (make setup-test installs it)")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A vLLM server with the shipped model: its URL."""
    folder = tmp_path_factory.mktemp("server")
    with vllm_server(sys.executable, EMBEDDED_FOLDER, folder, max_model_len=2048, images=16) as url:
        yield url


def test_labels_through_a_server_are_true_and_every_modality_is_accounted_for(server, tmp_path):
    folder = tmp_path / "world"
    build_world(folder, 24, seed=505, workers=2)
    changes = {"annotations": folder / "questions.json", "media": folder / "clips"}
    changes |= {"model.engine": "server", "model.urls": [server], "model.model": str(EMBEDDED_FOLDER)}
    tallies = running.run("label-pem", tmp_path / "run", {**changes, "model.served_name": "tiny"})
    assert tallies["sample"].kept == 24 and not tallies["sample"].dead
    run = RunDir(tmp_path / "run")
    rows = [r for t in run.parts("sample").rows() for r in t.to_pylist()]
    assert all(r["av_audio_tokens"] > 0 and r["av_video_tokens"] > 0 for r in rows)
    assert all(r["a_video_tokens"] == 0 < r["a_audio_tokens"] for r in rows if r["a_asked"])
    agreement = confusion(run, folder / "truth.jsonl")
    for pem in ("Audio", "Visual", "Audio-Visual"):
        assert agreement[f"{pem}_precision"] >= 0.95 and agreement[f"{pem}_recall"] >= 0.80, agreement


def test_the_same_server_as_a_plain_endpoint(server, tmp_path):
    """Frames as pictures, no field of vLLM's own; that it hears and sees is shown by what it answers."""
    folder = tmp_path / "world"
    build_world(folder, 8, seed=506, workers=2)
    changes = {"annotations": folder / "questions.json", "media": folder / "clips", "n": 4, "media.max_frames": 8}
    changes |= {"model.engine": "openai", "model.urls": [server], "model.model": "tiny"}
    tallies = running.run("label-pem", tmp_path / "run", changes)
    assert tallies["sample"].kept == 8 and not tallies["sample"].dead
    rows = [r for t in RunDir(tmp_path / "run").parts("sample").rows() for r in t.to_pylist()]
    assert {r["hearing"] for r in rows} == {"behaviour"}
    texts = [x["text"] for r in rows for x in r["av_responses"]]
    assert sum("<answer>" in t for t in texts) >= 0.9 * len(texts)
