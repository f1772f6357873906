"""Every command killed with SIGKILL at random moments and begun again: the rows of an unbroken run, no leftovers."""

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest

from avcurate.runner.status import run_status
from avcurate.runner.verify import verify_run
from tests.attack.cases import CASES
from tests.conftest import LONG

pytest.importorskip("simplemma")
KILLS = 23 if LONG else 5


def rows(run):
    """Parquet of all tables."""
    files = sorted(p for p in run.root.rglob("part-*.parquet"))
    return {str(p.relative_to(run.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def work(case):
    case.go()


@pytest.mark.slow
@pytest.mark.parametrize("task", list(CASES))
def test_a_command_that_is_killed_goes_on(task, tmp_path, capsys):
    case = CASES[task](tmp_path / "all")
    # which row the engine fails first depends on where a run goes on
    case.mend()
    # forked, so that a kill lands in the work and not in the imports
    fork = multiprocessing.get_context("fork")

    def start():
        child = fork.Process(target=work, args=(case,))
        child.start()
        return child

    began = time.monotonic()
    whole = start()
    whole.join()
    assert whole.exitcode == 0
    lasts, wanted = time.monotonic() - began, rows(case.run)
    assert wanted and not verify_run(case.run)["damaged"]
    rng, killed, partly = random.Random(task), 0, 0
    shutil.rmtree(case.out)
    for _ in range(40 * KILLS):
        if killed >= KILLS:
            break
        if case.run.exists() and run_status(case.run)["state"] == "finished":
            assert rows(case.run) == wanted
            shutil.rmtree(case.out)
        child = start()
        child.join(rng.uniform(0.02, 0.9) * lasts)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
            partly += any(case.out.rglob("part-*.parquet"))
        child.join()
    last = start()
    last.join()
    assert last.exitcode == 0 and killed >= KILLS
    assert rows(case.run) == wanted and not verify_run(case.run)["damaged"]
    left = [p for p in case.out.rglob("*") if p.name.endswith(".tmp")]
    assert not left and not list(case.out.rglob("journal/*/*.jsonl"))
    with capsys.disabled():
        print(f"\n{task}: {killed} kills, {partly} of them after the first part")
