"""Children are limited and die with their parent, whichever way they are started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avcurate.errors import MediaError
from avcurate.media import child

ASK = """
import resource, time
time.sleep(0.2)
names = ("AS", "CPU", "FSIZE", "CORE")
print([resource.getrlimit(getattr(resource, f"RLIMIT_{n}")) for n in names])
"""


@pytest.fixture(params=["setpriv", "own code"])
def way(request, monkeypatch):
    if request.param == "own code":
        monkeypatch.setattr(child, "_mortal", tuple)
    elif not child._mortal():
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


@pytest.mark.parametrize("own_code", [False, True])
def test_a_killed_parent_leaves_no_child(own_code, tmp_path):
    code = (
        "from avcurate.media import child\n"
        + ("child._mortal = tuple\n" if own_code else "")
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
