"""Replicas, nodes and drivers that die at random moments: the rows are those of a local run, each once."""

import json
import multiprocessing
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import dead_rows, run_status
from tests import running
from tests.conftest import LONG, CountingEmbedder, write_questions
from tests.runner.ray.sleeper import Sleeper

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'avcurate[ray]')")
pytestmark = pytest.mark.slow
ROWS = 2000 if LONG else 240
KILLS, ROUNDS = 2, 10 if LONG else 1


@pytest.fixture(scope="module")
def nodes():
    """Three machines on this one."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    head = cluster.add_node(num_cpus=1, include_dashboard=False)
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster, head
    ray.shutdown()
    cluster.shutdown()


def asked(tmp_path, tiny_clip):
    """Inputs of a run that shows one clip again and again."""
    media = tmp_path / "media"
    media.mkdir()
    (media / "clip.mp4").write_bytes(tiny_clip.read_bytes())
    write_questions(tmp_path / "q.json", ROWS)
    changes = {"annotations": tmp_path / "q.json", "media": media, "n": 4, "run.part_size": 64}
    return changes | {"run.ray.cpus": 1, "run.ray.silent_s": 20.0}


def rows_of(run):
    return [r for t in RunDir(run).parts("sample").rows() for r in t.to_pylist()]


def go(out, changes, executor="ray", **sleeper):
    engine = Sleeper(out.parent / f"{out.name}.requests", **sleeper)
    changes = {**changes, "run.executor": executor}
    return running.run("label-pem", out, changes, engine=engine, embedder=CountingEmbedder())


def replicas():
    """Processes of the replicas that live now."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            title = (folder / "cmdline").read_text() if folder.name.isdigit() else ""
        except OSError:
            continue
        if title.startswith(("ray::Replica", "ray::sample[")):
            found.append(int(folder.name))
    return found


def requests(out):
    path = out.parent / f"{out.name}.requests"
    return Counter(path.read_text().split()) if path.exists() else Counter()


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_replicas_that_are_killed_lose_and_double_nothing(nodes, tmp_path, tiny_clip, capsys, turn):
    changes = asked(tmp_path, tiny_clip)
    go(tmp_path / "local", changes, "local")
    expected, rng, killed = rows_of(tmp_path / "local"), random.Random(turn), []
    assert len(expected) == ROWS
    out = tmp_path / "ray"
    over = threading.Event()

    def kill():
        while len(killed) < KILLS and not over.wait(rng.uniform(0.2, 1.5)):
            # once work has begun: that a replica which cannot start stops the run is another test
            if requests(out) and (living := replicas()):
                killed.append(rng.choice(living))
                os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        go(out, changes, step_s=0.1)
    finally:
        over.set()
        killer.join()
    assert killed and rows_of(out) == expected
    replicas_said = run_status(RunDir(out))["replicas"]["sample"]
    assert sum("lost" in r for r in replicas_said) >= len(killed) and sum(r["rows"] for r in replicas_said) == ROWS
    again = sum(n - 1 for n in requests(out).values())
    with capsys.disabled():
        print(f"\n{len(killed)} replicas killed, {again} of {sum(requests(out).values())} requests repeated", end=" ")


def test_a_node_that_is_lost_gives_its_rows_to_others(nodes, tmp_path, tiny_clip):
    cluster, head = nodes
    changes = asked(tmp_path, tiny_clip)
    go(tmp_path / "local", changes, "local")
    out = tmp_path / "ray"
    doomed = next(n for n in cluster.worker_nodes if n is not head)

    def lose():
        while not requests(out):
            time.sleep(0.05)
        time.sleep(0.5)
        cluster.remove_node(doomed, allow_graceful=False)

    loser = threading.Thread(target=lose)
    loser.start()
    go(out, changes, step_s=0.02)
    loser.join()
    cluster.add_node(num_cpus=1)
    assert rows_of(out) == rows_of(tmp_path / "local")


@pytest.mark.skipif(not LONG, reason="a model in each of three processes; `make test-long` runs it")
def test_questions_to_the_embedded_model_survive_a_replica_and_a_node(nodes, world, tmp_path):
    """Real responses, journaled in the order they come: the rows are those of this process alone."""
    pytest.importorskip("sentence_transformers")
    cluster, head = nodes
    folder, items = world
    changes = {"annotations": folder / "questions.json", "media": folder / "clips", "n": 4, "run.part_size": 16}
    changes |= {"run.ray.cpus": 1, "run.ray.silent_s": 30.0, "run.limit": 60}
    running.run("label-pem", tmp_path / "local", changes)
    out, killed = tmp_path / "ray", []

    def lose():
        while not list((out / "journal").rglob("*.jsonl")) or not replicas():
            time.sleep(0.1)
        killed.append(random.Random(0).choice(replicas()))
        os.kill(killed[0], signal.SIGKILL)
        time.sleep(4)
        cluster.remove_node(next(n for n in cluster.worker_nodes if n is not head), allow_graceful=False)

    loser = threading.Thread(target=lose)
    loser.start()
    running.run("label-pem", out, {**changes, "run.executor": "ray"})
    loser.join()
    cluster.add_node(num_cpus=1)
    assert killed and len(rows_of(out)) == min(60, len(items))
    assert rows_of(out) == rows_of(tmp_path / "local")
    assert any("lost" in r for r in run_status(RunDir(out))["replicas"]["sample"])


def test_a_replica_that_stops_without_dying_is_given_up(nodes, tmp_path, tiny_clip):
    changes = asked(tmp_path, tiny_clip) | {"run.ray.silent_s": 8.0}
    out, stopped = tmp_path / "ray", []

    def stop():
        while not requests(out) or not replicas():
            time.sleep(0.05)
        stopped.append(replicas()[0])
        os.kill(stopped[0], signal.SIGSTOP)

    stopper = threading.Thread(target=stop)
    stopper.start()
    tallies = go(out, changes, step_s=0.02)
    stopper.join()
    rows = rows_of(out)
    # progress says how busy the replicas' engines are
    assert re.fullmatch(r"\d engines? busy \d+%( \(\d+% to \d+%\))?", tallies["sample"].pulse)
    assert stopped and len(rows) == len({r["question_id"] for r in rows}) == ROWS


def test_a_row_that_kills_its_process_is_dead_and_no_other(nodes, tmp_path, tiny_clip):
    changes = asked(tmp_path, tiny_clip)
    out = tmp_path / "ray"
    go(out, changes, poison="in scene 17?")
    dead = dead_rows(RunDir(out))
    assert [(d["reason"], "scene 17?" in d["input"]) for d in dead] == [("kills_its_process", True)]
    assert len(rows_of(out)) == ROWS - 1


def test_replicas_that_all_die_stop_the_run_with_a_reason(nodes, tmp_path, tiny_clip):
    class Dies(Sleeper):
        def setup(self):
            os._exit(3)

    changes = {**asked(tmp_path, tiny_clip), "run.executor": "ray"}
    with pytest.raises(UserError, match="died in a row"):
        running.run("label-pem", tmp_path / "ray", changes, engine=Dies(), embedder=CountingEmbedder())


def driver(out, changes):
    ray.shutdown()
    ray.init(address=os.environ["TEST_RAY"], log_to_driver=False)
    go(out, changes, step_s=0.02)


def test_a_driver_that_is_killed_leaves_no_replica_and_goes_on(nodes, tmp_path, tiny_clip, monkeypatch):
    cluster, _ = nodes
    monkeypatch.setenv("TEST_RAY", cluster.address)
    changes = asked(tmp_path, tiny_clip)
    out = tmp_path / "ray"
    spawn = multiprocessing.get_context("spawn")
    first = spawn.Process(target=driver, args=(out, changes))
    first.start()
    deadline = time.monotonic() + 120
    while len(requests(out)) < 60:
        assert time.monotonic() < deadline and first.is_alive()
        time.sleep(0.05)
    first.kill()
    first.join()
    while replicas():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = requests(out)
    go(out, changes, step_s=0.02)
    rows = rows_of(out)
    assert len(rows) == len({r["question_id"] for r in rows}) == ROWS
    repeated = sum(1 for n in requests(out).values() if n > 1)
    # what was journaled is not asked again: at most what was in flight at the kill
    assert repeated < len(before) and json.loads((out / "run.json").read_text())["complete"]
