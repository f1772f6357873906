"""Rates and remaining times that hold, a line a minute without a terminal, logs that nothing forges, status --watch."""

import json
import logging
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from avcurate.cli.console import StageBars
from avcurate.cli.logs import EVENTS, configure, one_line
from avcurate.cli.pace import Pace, eta, spoken
from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Dead, Kept
from avcurate.runner.tally import Tally
from avcurate.store.lock import writer_lock
from tests.conftest import write_questions
from tests.viewer.conftest import labelled, runs  # noqa: F401


@pytest.fixture
def records():
    """What is logged, from a handler of our own: other packages install theirs and copy others'."""
    found = []

    class Listing(logging.Handler):
        def emit(self, record):
            found.append(record)

    configure("info", None)
    handler = Listing()
    EVENTS.addHandler(handler)
    yield found
    EVENTS.removeHandler(handler)
    configure("info", None)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_a_rate_is_that_of_now_and_says_nothing_too_early():
    clock = Clock()
    pace = Pace(clock)
    assert pace.rate() is None and pace.remaining(10) is None
    clock.now += 30
    pace.add(8)
    assert pace.rate() is None
    for _ in range(20):
        clock.now += 2
        pace.add(4)
    # the start, when the model was loaded, is in the window still; two minutes later it is not
    assert pace.rate() == pytest.approx(88 / 70)
    for _ in range(60):
        clock.now += 2
        pace.add(4)
    assert pace.rate() == pytest.approx(2.0, rel=0.05)
    low, high = pace.remaining(600)
    assert low <= 300 <= high and high - low < 60
    # half as fast from now on: two minutes later the rate says so
    for _ in range(61):
        clock.now += 2
        pace.add(2)
    assert pace.rate() == pytest.approx(1.0, rel=0.05)
    # and one that has stopped gets slower, instead of keeping its rate
    clock.now += 600
    assert pace.rate() < 0.2


def test_a_remaining_time_holds_as_often_as_it_says():
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        clock = Clock()
        pace = Pace(clock)
        for _ in range(60):
            clock.now += rng.gamma(0.5, 4.0)
            pace.add(int(rng.integers(1, 8)))
        needed, rows = 0.0, 0
        low, high = pace.remaining(400)
        while rows < 400:
            needed += rng.gamma(0.5, 4.0)
            rows += int(rng.integers(1, 8))
        held += low <= needed <= high
    assert held / 300 > 0.88


def test_times_are_said_as_people_say_them():
    said = [spoken(s) for s in (5, 89, 120, 5399, 7200, 100_000, 200_000)]
    assert said == ["5 s", "89 s", "2 min", "90 min", "2.0 h", "27.8 h", "2.3 d"]
    assert [eta(x) for x in (None, (60, 61), (120, 300), (80, 300))] == [
        "",
        "60 s to 61 s".replace(" s to", " to"),
        "2 to 5 min",
        "80 s to 5 min",
    ]


def test_without_a_terminal_there_is_a_line_a_minute(records):
    clock = Clock()
    bars = StageBars(lambda stage, row: row.get("pem"), clock)
    watch, tally = bars.begin("sample"), Tally(total=400, done=40, kept=40)
    # what was stored before is counted as done, and not as speed
    watch(tally, None, None)
    for i in range(180):
        clock.now += 1
        outcome = Dead("broken", "no\nERROR forged") if i == 90 else Kept({"pem": "Audio"})
        tally.add(outcome)
        watch(tally, outcome, {"question_id": f"q{i}"})
    lines = [r.getMessage() for r in records if r.name == "avcurate.progress"]
    assert len(lines) == 3
    assert lines[-1].startswith("sample: 220 of 400 rows (55%), 1.0 rows/s, eta ") and "Audio 179 dead 1" in lines[-1]
    assert [r.getMessage() for r in records if r.levelname == "WARNING"] == [
        "sample: q90 died: broken: no ERROR forged"
    ]


def test_logs_go_where_they_are_told(tmp_path):
    for bad in (("loud", None), ("info", tmp_path / "none" / "log")):
        with pytest.raises(UserError):
            configure(*bad)
    configure("warning", tmp_path / "log")
    EVENTS.info("left out")
    EVENTS.warning("written %s", one_line("a\nb\x1b[31m"))
    configure("info", None)
    [line] = (tmp_path / "log").read_text().splitlines()
    assert line.endswith("WARNING written a b [31m")


def test_a_log_of_a_command(runs, tmp_path):  # noqa: F811
    log = tmp_path / "log.txt"
    words = ["--log-file", str(log), "status", str(tmp_path / "none")]
    done = subprocess.run([sys.executable, "-m", "avcurate.cli.app", *words], capture_output=True, text=True)
    assert done.returncode == 1 and "ERROR" in log.read_text() and "is not a run directory" in log.read_text()


@pytest.mark.slow
def test_status_watches_until_the_run_ends(runs):  # noqa: F811
    run = RunDir(runs[1].root)
    record = json.loads((run.root / "run.json").read_text())
    assert record["complete"]
    with writer_lock(run.root):
        child = subprocess.Popen(
            [sys.executable, "-m", "avcurate.cli.app", "status", str(run.root), "--watch"],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(child.stdout), daemon=True)
        reader.start()
        ends = time.monotonic() + 60
        while not lines and time.monotonic() < ends:
            time.sleep(0.05)
        assert (lines and lines[0].startswith("running: ingest 28 of 30")) or "ingest" in lines[0]
        assert child.poll() is None
    child.wait(60)
    reader.join(10)
    assert any(line.startswith("finished: ") for line in lines) and child.returncode == 0


def test_the_log_says_how_busy_the_engine_was(tmp_path, tiny_clip, records):
    (tmp_path / "clips").mkdir()
    shutil.copy(tiny_clip, tmp_path / "clips/clip.mp4")
    write_questions(tmp_path / "qa.json", 4)
    labelled(tmp_path, tmp_path / "run", {"a": 0, "v": 8, "av": 8})
    said = {r.getMessage() for r in records if r.name == "avcurate.scheduler"}
    assert said and all(s.startswith("engine busy ") and s.endswith(" s") for s in said)
