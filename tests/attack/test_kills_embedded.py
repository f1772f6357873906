"""`label-pem` on the embedded model, killed repeatedly after its first commit: the bytes of an unbroken run."""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
import traceback

import pytest

from avcurate.runner.rundir import RunDir
from avcurate.runner.verify import verify_run
from tests import running
from tests.attack.killing import await_moment
from tests.conftest import LONG

KILLS = 20 if LONG else 1
AIMS = ("part-*.parquet", "part-*.jsonl", "part-*.json", "time")


def work(out, changes):
    try:
        running.run("label-pem", out, changes)
    except BaseException:
        (out.parent / "error.txt").write_text(traceback.format_exc())
        raise


def rows(out):
    return {p.relative_to(out): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob("part-*.parquet"))}


def finished(out):
    return RunDir(out).exists() and json.loads((out / "run.json").read_text()).get("complete", False)


@pytest.mark.slow
def test_killed_while_the_embedded_model_answers(world, tmp_path, capsys):
    folder, _ = world
    # children start with the imports done, and without this process's threads
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.running", "avcurate.engines.transformers_engine", "transformers", "torch"])
    out = tmp_path / "run"
    changes = {"annotations": folder / "questions.json", "media": folder / "clips", "run.limit": 24 if LONG else 8}
    changes |= {"run.part_size": 4, "n": 4}

    def start():
        child = server.Process(target=work, args=(out, changes))
        child.start()
        return child

    began = time.monotonic()
    whole = start()
    whole.join()
    duration = time.monotonic() - began
    error = tmp_path / "error.txt"
    assert whole.exitcode == 0, error.read_text() if error.exists() else ""
    expected = rows(out)
    rng, killed = random.Random(7), 0
    shutil.rmtree(out)
    for i in range(10 * KILLS):
        if killed >= KILLS:
            break
        if finished(out):
            assert rows(out) == expected
            shutil.rmtree(out)
        child = start()
        if not list(out.glob("sample/part-*.json")):
            await_moment(out / "sample", child, "part-*.json", random.Random(0), duration)
        await_moment(out, child, AIMS[i % len(AIMS)], rng, duration)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.join()
    last = start()
    last.join()
    assert last.exitcode == 0 and killed >= KILLS, error.read_text() if error.exists() else ""
    assert rows(out) == expected and not verify_run(RunDir(out))["damaged"]
    with capsys.disabled():
        print(
            f"\nembedded model: {killed} kills after the first commit, run time {duration:.1f} s, same bytes every time"
        )
