"""Rollouts from a real vLLM server, in its own environment, that receives the policy each step."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")

from avcurate.engines.base import Request, Sampling
from avcurate.engines.checkpoint import EMBEDDED_FOLDER, Checkpoint
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.errors import UserError
from avcurate.media.decode import DecodeSpec, decode
from avcurate.tasks.train.log import read_metrics
from avcurate.train.omni import Omni, log_probabilities
from avcurate.train.saving import merged, save_model
from avcurate.train.served import ServedRollouts
from tests.conftest import REPO
from tests.engines.fake_server import Plan, serve
from tests.engines.vllm_process import vllm_server
from tests.train.jobs import TrainJob, load_train, run_training
from tests.train.test_processes import train

pytestmark = pytest.mark.slow
SMALL = {"prompts": 2, "group": 2, "micro_batch": 2, "max_tokens": 24, "steps": 2, "learning_rate": 1e-3}


def python_with_vllm():
    """The interpreter of the other environment; vLLM and TRL require different transformers."""
    for python in (os.environ.get("AVCURATE_VLLM_PYTHON"), REPO / ".venv/bin/python"):
        if python and Path(python).exists():
            probe = subprocess.run([python, "-c", "import importlib.util as i, sys; sys.exit(not i.find_spec('vllm'))"])
            if probe.returncode == 0:
                return str(python)
    pytest.skip("no environment with vLLM beside this one (make setup-test, or name one in AVCURATE_VLLM_PYTHON)")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    python = python_with_vllm()
    with vllm_server(python, EMBEDDED_FOLDER, tmp_path_factory.mktemp("vllm"), VLLM_SERVER_DEV_MODE="1") as url:
        yield url


def requests_of(world, count, n):
    folder, items = world
    requests = []
    for item in items[:count]:
        clip = decode(folder / "clips" / f"{item.clip.name}.mp4", DecodeSpec(max_frames=32, max_pixels=50176))
        sampling = Sampling(temperature=0.0, max_tokens=24)
        requests.append(Request(f"{item.number}", item.draft.text, clip.audio, clip.frames, clip.fps, n, 7, sampling))
    return requests


def test_the_server_samples_what_the_policy_would_even_after_its_weights_changed(server, world, tmp_path):
    from peft import LoraConfig, get_peft_model

    engine = TransformersEngine(Checkpoint("embedded"))
    engine.setup()
    omni, requests = Omni(engine), requests_of(world, 3, 1)
    served = ServedRollouts(server, Checkpoint("embedded"), tmp_path / "policy", engine.banned)
    served.setup()
    before = omni.rollouts(requests)
    written, chances = served.rollouts(requests, omni.prompts(requests))
    assert written == before
    for request, ids, given in zip(requests, written, chances, strict=True):
        # what the server says of its tokens is what training computes of them
        tokens = torch.tensor([ids])
        with torch.no_grad():
            logits, _ = omni.forward(engine.model, [request], tokens, torch.ones(tokens.shape))
        assert torch.allclose(log_probabilities(logits, tokens)[0], torch.tensor(given), atol=5e-3)
    with pytest.raises(UserError, match="the server reads"):
        served.rollouts(requests[:1], [omni.prompts(requests[:1])[0][:-1]])
    policy = get_peft_model(engine.model, LoraConfig(r=2, target_modules=r".*layers\.\d+\.mlp\..*_proj"))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in policy.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.5)
    after = omni.rollouts(requests)
    assert after != before
    served.load(policy, engine.processor)
    assert served.rollouts(requests, omni.prompts(requests))[0] == after
    served.close()


def test_merging_for_the_server_leaves_the_policy_as_it_was(tmp_path):
    from peft import LoraConfig, get_peft_model

    engine = TransformersEngine(Checkpoint("embedded"))
    engine.setup()
    policy = get_peft_model(engine.model, LoraConfig(r=2, target_modules=r".*layers\.\d+\.mlp\..*_proj"))
    with torch.no_grad():
        for name, value in policy.named_parameters():
            if "lora_B" in name:
                value.normal_()
    before = {k: v.clone() for k, v in policy.state_dict().items()}
    _, ours = merged(policy, policy.state_dict())
    save_model(policy, engine.processor, Checkpoint("embedded"), tmp_path / "m")
    assert all(torch.equal(v, before[k]) for k, v in policy.state_dict().items())
    theirs = policy.merge_and_unload().state_dict()
    assert ours.keys() == theirs.keys() and all(torch.allclose(ours[k], theirs[k]) for k in theirs)
    assert not (tmp_path / "m.partial").exists()


def test_a_training_with_served_rollouts(server, shards, tmp_path):
    recipe = load_train("train-demo-stage-1", {**SMALL, "algo": "mapo"})
    run_training(TrainJob(shards, tmp_path / "r", recipe, rollout_url=server))
    assert (tmp_path / "r/policy/model.safetensors").exists()
    lines = read_metrics(tmp_path / "r/metrics.jsonl")
    assert [x["step"] for x in lines[:2]] == [1, 2] and all(x["completion/length"] > 1 for x in lines[:2])
    # the same kernels in float32: nothing to correct
    assert all(abs(x["rollout/importance"] - 1) < 1e-2 and abs(x["rollout/kl"]) < 1e-2 for x in lines[:2])


def test_two_processes_are_served_by_one_server(server, shards, tmp_path):
    """The first alone sends weights, which both have sharded; both ask for their share."""
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
    folder = memory / f"avcurate-policy-{os.getpid()}"
    asked = {"lora_rank": 2, "rollout_url": server, "temperature": 1, "rollout_folder": folder}
    train(shards, tmp_path / "r", 2, sharded=True, **SMALL, **asked)
    # weights went through memory, which is free again
    assert folder.exists() and not list(folder.iterdir())
    folder.rmdir()
    assert not (tmp_path / "r/policy").exists()
    lines = read_metrics(tmp_path / "r/metrics.jsonl")
    assert [x["step"] for x in lines] == [1, 2] and all(abs(x["rollout/importance"] - 1) < 1e-2 for x in lines)


def test_servers_that_cannot_serve_say_so(shards, tmp_path):
    with pytest.raises(UserError, match="vLLM does not support the mask"):
        recipe = load_train("train-demo-stage-1", {**SMALL, "maam": True})
        run_training(TrainJob(shards, tmp_path / "a", recipe, rollout_url="http://127.0.0.1:9/v1"))
    with pytest.raises(UserError, match="rollouts cannot be weighed"):
        recipe = load_train("train-demo-stage-1", {**SMALL, "top_p": 0.9})
        run_training(TrainJob(shards, tmp_path / "a", recipe, rollout_url="http://127.0.0.1:9/v1"))
    with pytest.raises(UserError, match="no OpenAI-compatible server answers"):
        recipe = load_train("train-demo-stage-1", SMALL)
        run_training(TrainJob(shards, tmp_path / "b", recipe, rollout_url="http://127.0.0.1:9/v1"))
    with serve(Plan(404)) as url, pytest.raises(UserError, match="VLLM_SERVER_DEV_MODE=1"):
        run_training(TrainJob(shards, tmp_path / "c", load_train("train-demo-stage-1", SMALL), rollout_url=url))
