"""Training in two processes gives what one gives; what would hang or double is caught."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import torch

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")

from avcurate.errors import UserError
from avcurate.tasks.train.log import read_metrics
from avcurate.train import processes
from avcurate.train.media import read_dead
from tests.conftest import LONG
from tests.train.test_trainer import weights

SIZES = {"prompts": 4, "group": 4, "micro_batch": 4, "learning_rate": 1e-3, "beta": 0.1, "max_tokens": 60, "steps": 2}
FIXED = {"save_every": 1, "temperature": 1.6}
HANGS_AFTER_S = 240


def command(shards, out, together, **changes):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(together)] if together > 1 else []
    words = [
        sys.executable,
        *launch,
        "-m",
        "avcurate",
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


def train(shards, out, together, **changes):
    """Train; what was printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command(shards, out, together, **changes),
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
ALGORITHMS = [{}, LORA, *([{"algo": "mapo"}, {"maam": True, "lora_rank": 2}] if LONG else [])]


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
