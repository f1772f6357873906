"""A run that is killed at any moment and restarted gives what an uninterrupted run gives."""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from avcurate.engines.scripted import ScriptedEngine
from tests import running
from tests.conftest import LONG, CountingEmbedder, write_questions, write_script

KILLS = 100 if LONG else 20


class SlowScript(ScriptedEngine):
    """A script with a little time between answers, so that kills land in the middle of work."""

    def generate(self, source):
        for reply in super().generate(source):
            time.sleep(0.0005)
            yield reply


def work(run: Path, changes: dict, script: Path) -> None:
    running.run("label-pem", run, changes, engine=SlowScript(script), embedder=CountingEmbedder())


def digest(run: Path) -> dict[str, str]:
    files = sorted(run.rglob("part-*.parquet"))
    return {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def is_finished(run: Path) -> bool:
    record = run / "run.json"
    return record.exists() and json.loads(record.read_text()).get("complete", False)


@pytest.mark.slow
def test_killed_at_random_points(tmp_path, tiny_clip, capsys):
    media, run = tmp_path / "media", tmp_path / "run"
    media.mkdir()
    shutil.copy(tiny_clip, media / "clip.mp4")
    annotations, script = tmp_path / "q.json", tmp_path / "script.jsonl"
    write_questions(annotations, 160)
    changes = {"annotations": annotations, "media": media, "model.engine": "scripted", "model.model": str(script)}
    changes |= {"run.part_size": 8}
    running.ingest(run, changes)
    right = {"a": lambda r: r % 9, "v": lambda r: (r * 5) % 9, "av": lambda r: 8 - r % 4}
    write_script(script, run, right, dead=frozenset({7, 50, 51}))
    fork = multiprocessing.get_context("fork")

    def start():
        # forked, so that a kill lands in the work and not in the imports
        child = fork.Process(target=work, args=(run, changes, script))
        child.start()
        return child

    shutil.rmtree(run)
    began = time.monotonic()
    whole = start()
    whole.join()
    assert whole.exitcode == 0
    seconds, expected = time.monotonic() - began, digest(run)
    assert len(expected) > 60

    rng, killed, runs = random.Random(0), 0, 1
    shutil.rmtree(run)
    while killed < KILLS:
        if is_finished(run):
            assert digest(run) == expected
            shutil.rmtree(run)
            runs += 1
        child = start()
        child.join(rng.uniform(0, 0.35) * seconds)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.join()
    last = start()
    last.join()
    assert last.exitcode == 0
    assert digest(run) == expected
    assert not list(run.rglob(".*.tmp")) and not list(run.rglob("journal/*/*.jsonl"))
    with capsys.disabled():
        print(f"\n{killed} kills over {runs} runs of {seconds:.1f} s each: same bytes every time")
