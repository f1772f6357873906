"""Every command killed with SIGKILL at random moments and restarted: same rows as an unbroken run, no leftovers."""

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import time
import traceback

import pytest

from avcurate.runner.status import run_status
from avcurate.runner.verify import verify_run
from tests.attack.cases import CASES, Steady
from tests.attack.killing import await_moment
from tests.conftest import LONG, sampled

pytest.importorskip("simplemma")
KILLS = 23 if LONG else 3
AIMS = ("time", "part-*.json", "*.jsonl", "*.tmp", "part-*.parquet")


def rows(run):
    """Parquet of all tables."""
    files = sorted(p for p in run.root.rglob("part-*.parquet"))
    return {str(p.relative_to(run.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def work(case):
    try:
        case.go()
    except BaseException:
        # pytest captures what a forked child prints
        (case.folder / "error.txt").write_text(traceback.format_exc())
        raise


@pytest.mark.slow
@pytest.mark.parametrize("task", list(CASES))
def test_a_killed_command_resumes(task, tmp_path, capsys):
    case = CASES[task](tmp_path / "all")
    # which row the engine fails first depends on where a run resumes
    case.fix()
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
    duration, expected, requests_needed = time.monotonic() - began, rows(case.run), case.work()
    assert expected and not verify_run(case.run)["damaged"]
    aims = sampled(AIMS, KILLS, task)
    rng, killed, after_commit, runs = random.Random(task), 0, 0, 0
    shutil.rmtree(case.out)
    for i in range(40 * KILLS):
        if killed >= KILLS:
            break
        if case.run.exists() and run_status(case.run)["state"] == "finished":
            assert rows(case.run) == expected
            shutil.rmtree(case.out)
            runs += 1
        child = start()
        await_moment(case.out, child, aims[i % len(aims)], rng, duration)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
            after_commit += any(case.out.rglob("part-*.json"))
        child.join()
    last = start()
    last.join()
    error = case.folder / "error.txt"
    assert last.exitcode == 0 and killed >= KILLS, error.read_text() if error.exists() else ""
    assert rows(case.run) == expected and not verify_run(case.run)["damaged"]
    leftovers = [p for p in case.out.rglob("*") if p.name.endswith(".tmp")]
    assert not leftovers and not list(case.out.rglob("journal/*/*.jsonl"))
    repeated = ""
    if isinstance(case.parts.get("engine"), Steady):
        # requests beyond those of unbroken runs were repeated after a kill
        repeated = f", {case.work() - requests_needed * (runs + 2)} of {case.work()} requests repeated"
    with capsys.disabled():
        print(f"\n{task}: {killed} kills, {after_commit} of them after the first commit{repeated}")
