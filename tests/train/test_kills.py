"""A training killed with SIGKILL, most often while saving, and restarted: the weights of an uninterrupted one."""

import multiprocessing
import os
import random
import shutil
import signal
import time
import traceback

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")

from avcurate.runner.rundir import RunDir
from avcurate.runner.verify import verify_run
from avcurate.tasks.train.log import read_metrics
from tests.attack.killing import await_moment
from tests.conftest import LONG
from tests.train.jobs import TrainJob, load_train, run_training
from tests.train.test_damages import TINY, weights

KILLS = 40 if LONG else 10
AIMS = ("checkpoint-*", "optimizer.pt", "trainer_state.json", "files.json", "*.partial", "metrics.jsonl", "time")


def work(job):
    try:
        run_training(job)
    except BaseException:
        (job.out.parent / "error.txt").write_text(traceback.format_exc())
        raise


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 4], ids=["all weights", "lora"])
def test_a_killed_training_ends_with_the_same_weights(shards, tmp_path, capsys, lora):
    # children start with the imports done, and without this process's threads
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.train.test_kills", "avcurate.train.trainer", "avcurate.train.rl"])
    recipe = load_train("train-demo-stage-1", TINY | {"lora_rank": lora})
    job = TrainJob(shards, tmp_path / "out", recipe)

    def start():
        child = server.Process(target=work, args=(job,))
        child.start()
        return child

    lasts, whole = 0.0, b""
    for _ in range(2):
        # the first one waits for the server's imports
        shutil.rmtree(job.out, ignore_errors=True)
        began = time.monotonic()
        child = start()
        child.join()
        assert child.exitcode == 0
        lasts, whole = time.monotonic() - began, weights(job.out / "model")
    rng, killed, saved = random.Random(lora), 0, 0
    shutil.rmtree(job.out)
    for i in range(20 * KILLS):
        if killed >= KILLS // 2:
            break
        if RunDir(job.out).exists() and RunDir(job.out).record().get("complete"):
            assert weights(job.out / "model") == whole
            shutil.rmtree(job.out)
        child = start()
        await_moment(job.out, child, AIMS[i % len(AIMS)], rng, lasts)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
            saved += any(job.out.rglob("files.json"))
        child.join()
    last = start()
    last.join()
    error = tmp_path / "error.txt"
    assert last.exitcode == 0 and killed >= KILLS // 2, error.read_text() if error.exists() else ""
    assert weights(job.out / "model") == whole and not verify_run(RunDir(job.out))["damaged"]
    assert [line["step"] for line in read_metrics(job.out / "metrics.jsonl")] == [1, 2, 3, 4]
    assert not list(job.out.glob("*.partial"))
    with capsys.disabled():
        print(f"\ntrain, {'LoRA' if lora else 'all weights'}: {killed} kills, {saved} of them after a whole checkpoint")
