"""SIGINT and SIGTERM stop a command with exit code and one line, leave no children or scratch files; it resumes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avcurate.runner.status import run_status
from tests.attack import cases

START = "from avcurate.cli.app import main; main()"
GRACE_S = 5.0


def started(words, tmp):
    env = os.environ | {"TMPDIR": str(tmp), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", START, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the work never started"
        time.sleep(0.02)


def stat(pid):
    """State and parent of a process; ``None`` where there is none."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:2]
    except OSError:
        return None
    return state, int(parent)


def children(pid):
    """Process ids and command lines."""
    pids = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    own = [p for p in pids if (stat(p) or ("", 0))[1] == pid]
    return [(p, Path(f"/proc/{p}/cmdline").read_text().replace("\0", " ")) for p in own if stat(p)]


def lives(pid):
    """Whether a process runs; zombies do not count."""
    status = stat(pid)
    return status is not None and status[0] != "Z"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_stops_in_time_and_resumes(tmp_path, number, code):
    """`swap` works in ffmpeg children with scratch folders."""
    media = cases.clips(tmp_path / "w", [f"c{i}" for i in range(4)])
    pairs = [{"clip": f"c{i}", "donor": f"c{j}"} for i in range(4) for j in range(4) if i != j]
    file = cases.lines(tmp_path / "w/pairs.jsonl", pairs)
    scratch, out = tmp_path / "tmp", tmp_path / "run"
    scratch.mkdir()
    words = ["swap", file, "--media", media, "-o", out, "--json", "--set", "run.part_size=4"]
    process = started(words, scratch)
    wait_for(lambda: list(out.rglob("*.mp4")) and children(process.pid))
    child_processes = children(process.pid)
    process.send_signal(number)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert time.monotonic() - sent < GRACE_S + 5, "too slow even for a busy machine"
    assert err.strip().splitlines()[-1] == "Interrupted. Run the same command again to resume." and "Trace" not in err
    assert not [c for c in child_processes if lives(c[0])]
    assert not list(scratch.iterdir()), list(scratch.iterdir())
    assert run_status(cases.RunDir(out))["state"] != "finished"
    done = started(words, scratch)
    out_text, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    swap = json.loads(out_text)["stages"]["swap"]
    assert swap["kept"] == len(pairs) and not list(scratch.iterdir())


@pytest.mark.slow
def test_a_signal_stops_a_run_even_while_a_server_stalls(tmp_path):
    """A server that never answers the first request does not block the run."""
    from tests.attack.test_servers import raw
    from tests.engines.fake_server import Plan, serve

    captions = [{"clip": "a", "caption": "A dog.", "audio_caption": "dog"}]
    file = cases.lines(tmp_path / "c.jsonl", captions)
    stall = raw(*[b""] * 600, pause=0.1)
    plan = Plan(*[stall] * 9)
    with serve(plan) as url:
        words = ["judge", file, "-m", "tiny", "-e", "server", "--url", url, "-o", tmp_path / "run"]
        process = started(words, tmp_path)
        wait_for(lambda: plan.bodies)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert time.monotonic() - sent < GRACE_S + 5
        assert "Traceback" not in err


def test_no_child_outlives_a_process_that_is_killed():
    """An orphan would keep writing next to the restarted run."""
    code = "from avcurate.media import child; child.run(['sleep', '120'], timeout_s=300)"
    process = subprocess.Popen([sys.executable, "-c", code])
    child_processes = []

    def working():
        child_processes[:] = [c for c in children(process.pid) if "sleep" in c[1]]
        return child_processes

    wait_for(working)
    process.kill()
    process.wait()
    wait_for(lambda: not [c for c in child_processes if lives(c[0])], 20)
