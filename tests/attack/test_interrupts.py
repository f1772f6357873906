"""SIGINT and SIGTERM stop a command with its exit code and one line, leave no child and no scratch, and it resumes."""

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


def wait_for(there, seconds=60.0):
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "the work never began"
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
    found = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    mine = [p for p in found if (stat(p) or ("", 0))[1] == pid]
    return [(p, Path(f"/proc/{p}/cmdline").read_text().replace("\0", " ")) for p in mine if stat(p)]


def lives(pid):
    """Whether a process runs; one that is dead and that nobody has asked after does not."""
    found = stat(pid)
    return found is not None and found[0] != "Z"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_stops_in_time_and_resumes(tmp_path, number, code):
    """Swapping, whose work is in ffmpeg children with scratch folders."""
    media = cases.clips(tmp_path / "w", [f"c{i}" for i in range(6)])
    pairs = [{"clip": f"c{i}", "donor": f"c{j}"} for i in range(6) for j in range(6) if i != j]
    file = cases.lines(tmp_path / "w/pairs.jsonl", pairs)
    scratch, out = tmp_path / "tmp", tmp_path / "run"
    scratch.mkdir()
    words = ["swap", file, "--media", media, "-o", out, "--json", "--set", "run.part_size=4"]
    process = started(words, scratch)
    wait_for(lambda: list(out.rglob("*.mp4")) and children(process.pid))
    held = children(process.pid)
    process.send_signal(number)
    sent = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert time.monotonic() - sent < GRACE_S + 5, "a machine that is busy may be slow, but not that slow"
    assert err.strip().splitlines()[-1] == "Interrupted. Run the same command again to resume." and "Trace" not in err
    assert not [c for c in held if lives(c[0])]
    assert not list(scratch.iterdir()), list(scratch.iterdir())
    assert run_status(cases.RunDir(out))["state"] != "finished"
    done = started(words, scratch)
    told, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    swap = json.loads(told)["stages"]["swap"]
    assert swap["kept"] == len(pairs) and not list(scratch.iterdir())


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once_also_while_a_server_stalls(tmp_path):
    """A server that never answers holds the first request; the run is not its prisoner."""
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
    """An orphan would go on writing beside the run that is begun again."""
    code = "from avcurate.media import child; child.run(['sleep', '120'], timeout_s=300)"
    process = subprocess.Popen([sys.executable, "-c", code])
    held = []

    def working():
        held[:] = [c for c in children(process.pid) if "sleep" in c[1]]
        return held

    wait_for(working)
    process.kill()
    process.wait()
    wait_for(lambda: not [c for c in held if lives(c[0])], 20)
