"""Every guarantee of docs/guarantees.md, tested on every command. A new task without a case fails here."""

import hashlib
import importlib
import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.errors import RunLocked, TooManyDead
from avcurate.runner.status import dead_rows, run_status
from avcurate.runner.verify import verify_run
from avcurate.store.lock import writer_lock
from avcurate.tasks import TASKS
from avcurate.tasks.base import Context
from tests.attack.cases import CASES, LIKE, NOT_ROWS
from tests.conftest import LONG, REPO

pytest.importorskip("simplemma")
# tasks with dead rows that a fix of their cause can save
TASKS_WITH_FIXABLE_ROWS = [t for t in CASES if t not in ("hallucination", "pair")]


FAST = ("label-pem", "hallucination")
"""Cases of the fast suite; the others run in the whole one."""


@pytest.fixture(params=[t if t in FAST else pytest.param(t, marks=pytest.mark.slow) for t in CASES])
def case(request, tmp_path, monkeypatch):
    built = CASES[request.param](tmp_path / "all")
    # use the test's engine, embedder and detector in runs started by the command line, too
    monkeypatch.setattr("avcurate.cli.commands.Context", lambda out: Context(out, **built.parts))
    return built


def avcurate(*words):
    return CliRunner().invoke(app, [str(w) for w in words])


def digest(run):
    files = sorted(p for p in run.root.rglob("part-*") if "journal" not in p.parts)
    return {str(p.relative_to(run.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_every_task_is_tested():
    assert set(CASES) | set(NOT_ROWS) | set(LIKE) == set(TASKS.names())


def test_probes_run_through_the_code_of_the_one_that_is_tested():
    from avcurate.tasks.probe.stage import ProbeStage
    from avcurate.tasks.probe.task import ProbeTask

    for name in LIKE:
        task = TASKS.get(name)
        module, _, stage = task.stage.partition(":")
        assert issubclass(task, ProbeTask) and not {"plan", "run", "page"} & set(vars(task))
        assert not {"process", "identity", "_outcome", "complete", "pieces"} & set(
            vars(getattr(importlib.import_module(module), stage))
        )
        assert task.plan is ProbeTask.plan and ProbeStage.process


def test_the_table_in_the_docs_names_every_command():
    text = (REPO / "docs/guarantees.md").read_text()
    assert all(f"| `{name}` |" in text for name in TASKS.names())


def test_one_writer(case):
    case.out.mkdir()
    with writer_lock(case.out), pytest.raises(RunLocked):
        case.go()
    case.go()
    with writer_lock(case.out):
        assert isinstance(avcurate("report", case.out).exception, RunLocked)
        assert avcurate("status", case.out).exit_code == 0


def test_a_second_run_repeats_nothing_and_rebuilds_only_a_lost_part(case):
    case.go()
    before, asked = digest(case.run), case.work()
    case.go()
    assert digest(case.run) == before and case.work() == asked
    last = list(case.run.tables(case.run.record()).values())[-1]
    numbers = [c.part for c in last.commits()]
    last.remove(numbers[-1])
    record = case.run.record()
    record.pop("complete")
    case.run.save(record)
    case.go()
    assert digest(case.run) == before
    if case.task not in ("swap",) and len(numbers) > 1 and asked:
        assert case.work() - asked < asked


def test_nothing_is_lost_and_dead_rows_have_reasons(case):
    case.go()
    status = run_status(case.run)
    assert status["state"] == "finished"
    for counts in status["stages"].values():
        lost = sum(counts["filtered"].values()) + sum(counts["dead"].values())
        assert counts["in"] == counts["kept"] + lost
    dead = dead_rows(case.run)
    assert dead and all(r["reason"] and r["message"] and r["hint"] and r["reproduce"] for r in dead)


def test_only_dead_rows_are_retried(case):
    case.go()
    last = list(case.run.tables(case.run.record()).values())[-1]
    kept, asked, dead = case.run.record()["stages"][last.name]["kept"], case.work(), len(dead_rows(case.run))
    case.fix()
    done = avcurate("retry", case.out)
    assert done.exit_code == 0, done.exception
    now = len(dead_rows(case.run))
    if case.task in TASKS_WITH_FIXABLE_ROWS:
        more = case.run.record()["stages"][last.name]["kept"] - kept
        # one more clip of a benchmark gives several more questions
        assert now == dead - 1 and (more == 1 or (more > 1 and case.task == "benchmark-hallucination"))
    else:
        assert now == dead
    if case.task == "swap":
        assert case.work() == asked
    elif asked:
        assert case.work() - asked < asked


def test_too_many_dead_rows_stop_a_run_that_then_resumes(case):
    changes = {"run.fail_on_dead": 0.0}
    with pytest.raises(TooManyDead):
        case.go(changes=changes)
    case.go()
    assert run_status(case.run)["state"] == "finished"


def test_the_page_can_be_rewritten(case):
    case.go()
    done = avcurate("report", case.out, "--json")
    assert done.exit_code == 0, done.exception
    page = json.loads(done.stdout)["report"]
    assert page is None or Path(page).is_file()


def test_a_run_can_be_moved(case, tmp_path, monkeypatch):
    case.go()
    before, asked = digest(case.run), case.work()
    moved = case.moved(tmp_path / "elsewhere/there")
    monkeypatch.chdir(tmp_path)
    for command in ("status", "report", "verify"):
        done = avcurate(command, moved.out)
        assert done.exit_code == 0, (command, done.exception, done.stdout)
    done = avcurate("retry", moved.out)
    assert done.exit_code == 0, done.exception
    moved.go()
    assert {k for k, v in digest(moved.run).items() if before.get(k) != v} <= {
        k for k in before if k.endswith(".json") or "dead" in k
    }
    assert case.task == "swap" or case.work() - asked < max(asked, 1)


def test_the_command_that_reproduces_a_dead_row_runs(case, tmp_path, monkeypatch):
    case.go()
    monkeypatch.chdir(tmp_path)
    tried = set()
    for row in dead_rows(case.run):
        if row["reason"] in tried:
            continue
        tried.add(row["reason"])
        words = shlex.split(row["reproduce"])
        assert words[0] == "avcurate"
        done = avcurate(*words[1:])
        assert done.exit_code == 0, (row["reason"], words, done.exception)
        again = dead_rows(type(case.run)(tmp_path / words[-1]))
        assert [r["reason"] for r in again] == [row["reason"]], words


@pytest.mark.slow
def test_verify_finds_every_damaged_file_and_discarding_it_repairs_the_run(case):
    if not LONG and case.task not in (*FAST, "objects", "pair", "eval"):
        pytest.skip("tried with every command in make test-long")
    case.go()
    before = digest(case.run)
    assert not verify_run(case.run)["damaged"]
    for name in before:
        path = case.out / name
        path.write_bytes(path.read_bytes()[:-7] + b"damaged")
        done = avcurate("verify", case.out)
        assert done.exit_code == 1 and not isinstance(done.exception, ValueError), (name, done.exception)
        assert avcurate("verify", case.out, "--discard-damaged").exit_code == 0, name
        case.go()
        assert digest(case.run) == before, name
