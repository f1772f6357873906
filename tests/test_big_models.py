"""Recipes for models that no test can load: their media fit their context, and the server's line is what it says."""

import itertools
import subprocess
import sys

import pytest

from avcurate.engines.serving import serve_command
from avcurate.errors import UserError
from avcurate.families import FAMILIES
from avcurate.families.base import Description
from avcurate.recipe import ModelSpec, shipped
from avcurate.tasks.kinds import load_any
from tests.conftest import REPO

# of the released checkpoints' configurations
EXTRACTOR = {"hop_length": 160}
VISION = {
    "qwen2_5_omni": {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
    "qwen3_omni_moe": {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2},
}
BIG = [n for n in shipped() if n.startswith(("label-pem-qwen2.5", "label-pem-qwen3"))]


@pytest.mark.parametrize("name", BIG)
def test_the_longest_clip_and_its_response_fit_in_the_context(name):
    recipe = load_any(name)
    media = recipe.media
    described = Description({"thinker_config": {"vision_config": VISION[recipe.model.family]}}, EXTRACTOR, {})
    family = FAMILIES.get(recipe.model.family)(described)
    frames = min(media.max_frames, int(media.max_seconds * media.fps))
    # the worst aspect ratios round up the most
    shapes = [(int((media.max_pixels / r) ** 0.5), int((media.max_pixels * r) ** 0.5)) for r in (1, 16 / 9, 9 / 16, 3)]
    video = max(family.video_tokens(frames, h, w) for h, w in shapes)
    audio = family.audio_tokens(int(media.max_seconds * 16_000))
    assert video + audio + 400 + recipe.sampling.max_tokens <= recipe.model.max_model_len


@pytest.mark.parametrize("name", BIG)
def test_a_recipe_for_several_gpus_uses_as_many(name):
    spec = load_any(name).model
    wanted = int(name.rsplit("-", 1)[-1].removesuffix("gpu")) if name.endswith("gpu") else 1
    assert spec.tensor_parallel * spec.pipeline_parallel * spec.replicas == wanted
    assert spec.engine == "server" or spec.replicas == 1


def test_the_line_says_how_the_model_is_spread():
    spec = ModelSpec(
        engine="server", model="some/model", family="qwen3_omni_moe", revision="abc", tensor_parallel=4,
        pipeline_parallel=2, replicas=3, max_sequences=100, served_name="omni", max_model_len=9000,
    )  # fmt: skip
    command = serve_command(spec)
    assert command[:3] == ["vllm", "serve", "some/model"]
    after = dict(itertools.pairwise(command))
    assert after["--tensor-parallel-size"] == "4" and after["--pipeline-parallel-size"] == "2"
    assert after["--data-parallel-size"] == "3" and after["--max-num-seqs"] == "34"
    assert after["--revision"] == "abc" and after["--served-model-name"] == "omni"
    assert after["--max-model-len"] == "9000" and '"video": 1' in after["--limit-mm-per-prompt"]
    assert {"--trust-request-mm-kwargs", "--enable-prompt-tokens-details"} <= set(command)
    assert "--trust-remote-code" not in command
    deaf = serve_command(spec.model_copy(update={"family": "qwen2_audio"}))
    assert "video" not in dict(itertools.pairwise(deaf))["--limit-mm-per-prompt"]
    with pytest.raises(UserError, match="one after the other"):
        serve_command(spec, interleaved=True)


def test_the_engine_in_process_passes_the_split_on(monkeypatch):
    pytest.importorskip("torch")
    from avcurate.engines.vllm_engine import VllmEngine

    spec = ModelSpec(engine="vllm", model="embedded", tensor_parallel=2, pipeline_parallel=4)
    monkeypatch.setattr("avcurate.engines.vllm_engine.repair", lambda: None)
    arguments = VllmEngine(spec)._arguments()
    assert arguments["tensor_parallel_size"] == 2 and arguments["pipeline_parallel_size"] == 4


def test_the_command_prints_it():
    command = [sys.executable, "-m", "avcurate", "recipe", "serve", "label-pem-qwen3-omni-2gpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO, env={"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.startswith("vllm serve Qwen/Qwen3-Omni-30B-A3B-Instruct")
        and "--tensor-parallel-size 2" in done.stdout
    )
    refused = subprocess.run([*command[:-1], "pool-people"], capture_output=True, text=True, cwd=REPO)
    assert refused.returncode != 0 and "asks no model" in refused.stdout + refused.stderr
