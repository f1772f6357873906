"""A vLLM server in a process of its own."""

import json
import os
import socket
import subprocess
import time
from contextlib import contextmanager

import httpx
import pytest

START_SECONDS = 420


@contextmanager
def vllm_server(python, model, folder, max_model_len=1024, images=0, **environment):
    """Start a server with that interpreter and wait until it answers; yields its URL."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
        "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--enforce-eager", "--max-model-len", str(max_model_len), "--max-num-seqs", "32",
        "--gpu-memory-utilization", "0.2",
        "--limit-mm-per-prompt", json.dumps({"audio": 1, "video": 1, "image": images}), "--trust-request-mm-kwargs",
        "--enable-prompt-tokens-details", "--skip-mm-profiling", "--no-enable-chunked-prefill",
        "--max-num-batched-tokens", str(max(4096, max_model_len)),
    ]  # fmt: skip
    settings = os.environ | environment | {
        "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
        "OMP_WAIT_POLICY": "PASSIVE", "VLLM_LOGGING_LEVEL": "WARNING",
    }  # fmt: skip
    log = folder / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=settings, stdout=out, stderr=out, start_new_session=True)
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
