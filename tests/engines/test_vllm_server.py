"""label-pem through a real vLLM server: the canary passes, tokens are counted, labels are true."""

import os
import socket
import subprocess
import sys
import time

import pytest

from avcurate.chains import label_pem
from avcurate.chains.relabel import confusion
from avcurate.demo.build import build_world
from avcurate.engines.checkpoint import EMBEDDED_FOLDER
from avcurate.recipe import load_recipe
from avcurate.runner.rundir import RunDir

pytest.importorskip("vllm", reason="vLLM is not installed (make setup-test installs it)")

pytestmark = pytest.mark.slow
START_SECONDS = 420


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A vLLM server with the shipped model: its URL."""
    import httpx

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(EMBEDDED_FOLDER),
        "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--enforce-eager", "--max-model-len", "1024", "--max-num-seqs", "32", "--gpu-memory-utilization", "0.2",
        "--limit-mm-per-prompt", '{"audio":1,"video":1,"image":0}', "--trust-request-mm-kwargs",
        "--enable-prompt-tokens-details", "--skip-mm-profiling", "--no-enable-chunked-prefill",
        "--max-num-batched-tokens", "4096",
    ]  # fmt: skip
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
        "OMP_WAIT_POLICY": "PASSIVE", "VLLM_LOGGING_LEVEL": "WARNING",
    }  # fmt: skip
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        for _ in range(START_SECONDS):
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                if httpx.get(f"{url}/models", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(1)
        else:
            pytest.fail(f"vLLM did not start in {START_SECONDS} s: {log.read_text()[-3000:]}")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def test_labels_through_a_server_are_true_and_every_modality_is_accounted_for(server, tmp_path):
    folder = tmp_path / "world"
    build_world(folder, 24, seed=505, workers=2)
    recipe = load_recipe(
        "label-pem", {"model.engine": "server", "model.urls": [server], "model.model": str(EMBEDDED_FOLDER)}
    )
    job = label_pem.Job(folder / "questions.json", folder / "clips", tmp_path / "run", recipe)
    tallies = label_pem.run_job(job)
    assert tallies["sample"].kept == 24 and not tallies["sample"].dead
    run = RunDir(tmp_path / "run")
    rows = [r for t in run.parts("sample").rows() for r in t.to_pylist()]
    assert all(r["av_audio_tokens"] > 0 and r["av_video_tokens"] > 0 for r in rows)
    assert all(r["a_video_tokens"] == 0 < r["a_audio_tokens"] for r in rows if r["a_asked"])
    found = confusion(run, folder / "truth.jsonl")
    for pem in ("Audio", "Visual", "Audio-Visual"):
        assert found[f"{pem}_precision"] >= 0.95 and found[f"{pem}_recall"] >= 0.80, found
