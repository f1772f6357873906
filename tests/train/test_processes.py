"""Training in two processes gives what one gives; what would hang or double is caught."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")

from avcurate.errors import UserError
from avcurate.tasks.train.log import read_metrics
from avcurate.train import processes, sharding
from avcurate.train.media import read_dead
from tests.conftest import LONG, REPO
from tests.train.test_trainer import weights

SIZES = {"prompts": 4, "group": 4, "micro_batch": 4, "learning_rate": 1e-3, "beta": 0.1, "max_tokens": 60, "steps": 2}
FIXED = {"save_every": 1, "temperature": 1.6}
HANGS_AFTER_S = 240


SHARDED = Path(__file__).parent / "fsdp_on_cpu.py"


def command(shards, out, together, sharded=False, **changes):
    launched = together > 1 or sharded
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(together)] if launched else []
    words = [
        sys.executable,
        *launch,
        *([SHARDED] if sharded else ["-m", "avcurate"]),
        "train",
        shards,
        "-r",
        "train-demo-stage-1",
        "-o",
        out,
        "--json",
    ]
    settings = {**SIZES, **FIXED, "lora_rank": 0, **changes}
    return [*map(str, words), *(w for k, v in settings.items() for w in ("--set", f"{k}={v}"))]


def train(shards, out, together, sharded=False, **changes):
    """Train; what was printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command(shards, out, together, sharded, **changes),
        capture_output=True, text=True, timeout=HANGS_AFTER_S, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def assert_alike(one, two, start):
    """Losses and gradients step by step, and weights relative to how far they moved.

    Where a gradient is next to nothing, Adam's step follows rounding: single weights may differ by more.
    """
    ours, theirs = read_metrics(one / "metrics.jsonl"), read_metrics(two / "metrics.jsonl")
    assert [r["step"] for r in ours] == [r["step"] for r in theirs] == [1, 2]
    for a, b in zip(ours, theirs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-6)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)
        assert a["completion/length"] == pytest.approx(b["completion/length"])
        assert a["reward/total"] == pytest.approx(b["reward/total"])
    a, b, before = weights(one / "model"), weights(two / "model"), start
    difference = sum(float((a[k] - b[k]).double().pow(2).sum()) for k in a) ** 0.5
    moved = sum(float((a[k] - before[k]).double().pow(2).sum()) for k in a if k in before) ** 0.5
    assert moved > 0 and difference < 1e-3 * moved


@pytest.fixture(scope="module")
def start():
    """The weights that training starts from."""
    from avcurate.engines.checkpoint import EMBEDDED_FOLDER

    return weights(EMBEDDED_FOLDER)


LORA = {"algo": "mapo", "lora_rank": 2}
# completions of three tokens: not every quarter of them holds one; all earn alike, and the attention loss moves weights
SHORT = {"max_tokens": 3, "algo": "mapo"}
ALGORITHMS = [{}, LORA, SHORT, *([{"algo": "mapo"}, {"maam": True, "lora_rank": 2}] if LONG else [])]


@pytest.mark.parametrize("changes", ALGORITHMS, ids=str)
def test_two_processes_train_as_one_does(shards, tmp_path, start, changes):
    train(shards, tmp_path / "one", 1, **changes)
    printed = train(shards, tmp_path / "two", 2, **changes)
    assert_alike(tmp_path / "one", tmp_path / "two", start)
    # one of them speaks, and writes
    assert json.loads(printed)["steps"] == 2
    assert {p.name for p in (tmp_path / "two/checkpoints/checkpoint-2").glob("rng_state*")} == {
        "rng_state_0.pth", "rng_state_1.pth",
    }  # fmt: skip


@pytest.mark.parametrize("changes", [LORA, {"towers": "freeze"}], ids=str)
def test_two_processes_with_sharded_weights_train_as_one_does(shards, tmp_path, start, changes):
    """FSDP2; responses are of different lengths (temperature), so that each process decodes as long as it has to.

    Full training with a sharded reference, and LoRA; checkpoints lie sharded too, and go on in two processes bit for
    bit and in one.
    """
    train(shards, tmp_path / "one", 1, **changes)
    two = tmp_path / "two"
    train(shards, two, 2, sharded=True, **changes)
    assert_alike(tmp_path / "one", two, start)
    first = two / "checkpoints/checkpoint-1"
    assert {p.name for p in first.glob("pytorch_model_fsdp_0/*.distcp")} == {"__0_0.distcp", "__1_0.distcp"}
    if "lora_rank" in changes:
        assert {p.name for p in (two / "adapter").iterdir()} >= {"adapter_model.safetensors", "adapter_config.json"}
        return
    for processes_then in (2, 1):
        again = tmp_path / f"then-{processes_then}"
        shutil.copytree(two, again)
        shutil.rmtree(again / "model")
        shutil.rmtree(again / "checkpoints/checkpoint-2")
        train(shards, again, processes_then, sharded=True, **changes)
        a, b = weights(two / "model"), weights(again / "model")
        if processes_then == 2:
            assert all(torch.equal(a[k], b[k]) for k in a)
        else:
            assert_alike(two, again, start)
    # only saving the model was left
    shutil.rmtree(two / "model")
    train(shards, two, 2, sharded=True, **changes)
    b = weights(two / "model")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_launches_that_would_hang_or_train_whole_weights_are_refused(monkeypatch, shards, tmp_path):
    done = subprocess.run(command(shards, tmp_path / "a", 2, sharded=True), capture_output=True, text=True)
    assert done.returncode != 0 and "--set towers=freeze" in done.stderr
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="asked for, and weights are whole"):
        sharding.refuse_unsharded(sharded=False)
    with pytest.raises(UserError, match="fsdp_version: 2"):
        sharding.refuse_unsharded(sharded=True, version=1)
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    sharding.refuse_unsharded(sharded=False)


@pytest.mark.parametrize("file", sorted((REPO / "pipelines/launch").glob("*.yaml")), ids=lambda f: f.stem)
def test_configurations_for_launching_are_read_by_accelerate(file):
    from accelerate.commands.config.config_args import load_config_from_file

    read = load_config_from_file(str(file))
    assert read.num_processes == 8 and read.mixed_precision == "bf16"
    if file.stem == "fsdp2":
        # whole units are the decoder's layers, which shard_by_layer names
        assert read.fsdp_config["fsdp_version"] == 2
        assert read.fsdp_config["fsdp_auto_wrap_policy"] == "TRANSFORMER_BASED_WRAP"
        assert "fsdp_transformer_layer_cls_to_wrap" not in read.fsdp_config


def test_what_differs_between_processes_neither_hangs_nor_changes_the_sum(shards, tmp_path, start):
    """Clips at two frame rates, which one process has and the other not; a clip that cannot be read."""
    from tests.conftest import ffmpeg

    folder = tmp_path / "mixed"
    shutil.copytree(shards, folder)
    facts = json.loads((folder / "shards.json").read_text())
    media = tmp_path / "clips"
    shutil.copytree(facts["media"], media)
    table = pq.read_table(folder / "data/train-00000.parquet").slice(0, 10)
    names = list(dict.fromkeys(table["media"].to_pylist()))
    # more frames than max_frames at two a second, so that it is shown at a lower rate
    slow = media / names[0]
    ffmpeg("-stream_loop", "9", "-i", str(slow), "-c", "copy", "-t", "30", str(media / "long.mp4"))
    (media / "long.mp4").replace(slow)
    (media / names[1]).write_bytes(b"\x00" * 4000)
    table = table.drop_columns(["media_sha256"])
    pq.write_table(table, folder / "data/train-00000.parquet")
    (folder / "shards.json").write_text(json.dumps(facts | {"media": str(media)}))
    changes = {"media.max_frames": 8, "steps": 2}
    train(folder, tmp_path / "one", 1, **changes)
    train(folder, tmp_path / "two", 2, **changes)
    assert {d["question_id"] for d in read_dead(tmp_path / "two/dead.jsonl")} == {
        r["question_id"] for r in table.to_pylist() if r["media"] == names[1]
    }
    ours, theirs = (read_metrics(tmp_path / n / "metrics.jsonl") for n in ("one", "two"))
    # the place of the clip that cannot be read goes to another question of the same process, so sums may differ
    assert len(ours) == len(theirs) == 2 and all(torch.isfinite(torch.tensor(r["loss"])) for r in theirs)


@pytest.mark.skipif(not LONG, reason="three trainings; `make test-long` runs it")
def test_a_process_that_is_killed_ends_the_others_and_training_resumes_exactly(shards, tmp_path):
    train(shards, tmp_path / "whole", 2, steps=4)
    out = tmp_path / "cut"
    first = subprocess.Popen(command(shards, out, 2, steps=4), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + HANGS_AFTER_S
    while not (out / "checkpoints/checkpoint-2/files.json").exists():
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.05)
    children = subprocess.run(["pgrep", "-P", str(first.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(children[-1]), signal.SIGKILL)
    assert first.wait(60) != 0
    train(shards, out, 2, steps=4)
    a, b = weights(tmp_path / "whole/model"), weights(out / "model")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_sizes_that_cannot_be_shared_are_refused(monkeypatch, shards, tmp_path):
    done = subprocess.run(command(shards, tmp_path / "odd", 2, prompts=3), capture_output=True, text=True)
    assert done.returncode != 0 and "cannot be shared among 2 processes" in done.stderr
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes were launched, and 1 train"):
        processes.refuse_lonely(1)


def test_means_are_over_all_that_was_recorded():
    assert processes.means({"a": [1.0, 3.0], "b": []}) == {"a": [2.0]}
    assert processes.most(3) == 3 and processes.is_first() and processes.world() == 1
