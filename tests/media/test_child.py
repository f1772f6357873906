"""Children are limited and die with their parent, whichever way they are started."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avcurate.errors import MediaError
from avcurate.media import child
from tests.conftest import LONG

ASK = """
import resource, time
time.sleep(0.2)
names = ("AS", "CPU", "FSIZE", "CORE")
print([resource.getrlimit(getattr(resource, f"RLIMIT_{n}")) for n in names])
"""


@pytest.fixture(params=["setpriv", "own code"])
def way(request, monkeypatch):
    if request.param == "own code":
        monkeypatch.setattr(child, "_mortal", lambda parent: ())
    elif not child._mortal(os.getpid()):
        pytest.skip("no setpriv that sets a parent-death signal")


def test_limits_hold(way):
    done = child.run([sys.executable, "-c", ASK], timeout_s=20, memory_mb=3000, file_mb=7)
    mb = 1 << 20
    assert eval(done.stdout) == [(3000 * mb,) * 2, (81, 82), (7 * mb,) * 2, (0, 0)]
    done = child.run(
        [sys.executable, "-c", "import time; time.sleep(0.2); bytearray(1 << 30)"], timeout_s=20, memory_mb=600
    )
    assert done.returncode and b"MemoryError" in done.stderr


def test_input_and_output_pass_and_time_is_limited(way):
    done = child.run(["cat"], timeout_s=20, stdin=b"x" * 200_000)
    assert done.returncode == 0 and len(done.stdout) == 200_000
    with pytest.raises(MediaError, match="longer than"):
        child.run(["sleep", "30"], timeout_s=0.3)
    assert child.run(["false"], timeout_s=5).returncode == 1


def test_nothing_begins_for_a_parent_that_is_gone(tmp_path):
    words = child._mortal(os.getpid())
    if not words:
        pytest.skip("no setpriv that sets a parent-death signal")
    for parent, begun in ((os.getpid(), True), (999_999_999, False)):
        file = tmp_path / str(parent)
        subprocess.run([*words[:-1], str(parent), "touch", str(file)])
        assert file.exists() == begun


@pytest.mark.parametrize("own_code", [False, True])
def test_a_killed_parent_leaves_no_child(own_code, tmp_path):
    code = (
        "from avcurate.media import child\n"
        + ("child._mortal = lambda parent: ()\n" if own_code else "")
        + f"child.run(['sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 60'], timeout_s=100)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    pid = tmp_path / "pid"
    deadline = time.monotonic() + 30
    while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    number = int(pid.read_text())
    parent.kill()
    parent.wait()
    while time.monotonic() < deadline:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            break
        if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.02)
    else:
        os.kill(number, signal.SIGKILL)
        pytest.fail("the child outlived its parent")


def _spawn(folder, number):
    child._mortal(os.getpid())
    (folder / f"ready{number}").touch()
    child.run(["sh", "-c", f"sleep 0.4; touch {folder}/left{number}"], timeout_s=5)


@pytest.mark.slow
def test_no_child_is_left_by_a_kill_while_it_is_begun(way, tmp_path):
    fork, rng = multiprocessing.get_context("fork"), random.Random(1)
    for i in range(200 if LONG else 50):
        parent = fork.Process(target=_spawn, args=(tmp_path, i))
        parent.start()
        while not (tmp_path / f"ready{i}").exists():
            time.sleep(0.0002)
        time.sleep(rng.uniform(0, 0.006))
        os.kill(parent.pid, signal.SIGKILL)
        parent.join()
    time.sleep(1)
    assert not list(tmp_path.glob("left*"))
