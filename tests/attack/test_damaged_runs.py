"""Damages to finished runs of every task: each is healed by the same command, or ends in one sentence; no traceback."""

import hashlib
import random
import shutil

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.errors import AvcurateError
from avcurate.tasks.base import Context
from tests.attack.cases import CASES
from tests.attack.damages import DAMAGES
from tests.conftest import LONG

pytest.importorskip("simplemma")
SAMPLE = 20


def kept(run):
    """Parquet of all tables: what must come out again."""
    files = sorted(p for p in run.root.rglob("part-*.parquet"))
    return {str(p.relative_to(run.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def ends_in_a_sentence(run_it):
    """Whether it went through; a sentence is no success, and anything else is an error here."""
    try:
        run_it()
    except AvcurateError as e:
        assert e.message
        return False
    return True


def damages(root):
    files = [p.relative_to(root) for p in root.rglob("*") if p.is_file() and p.name != "lock"]
    wanted = [f for f in files if f.suffix in (".parquet", ".json", ".jsonl", ".mp4")]
    return [(f, d) for f in sorted(wanted) for d in DAMAGES]


@pytest.mark.slow
@pytest.mark.parametrize("task", list(CASES))
def test_every_damage_is_healed_or_ends_in_a_sentence(task, tmp_path, monkeypatch, capsys):
    case = CASES[task](tmp_path / "all")
    monkeypatch.setattr("avcurate.cli.commands.Context", lambda out: Context(out, **case.parts))
    case.go()
    wanted = kept(case.run)
    shutil.copytree(case.out, tmp_path / "whole")
    todo = damages(case.out)
    if not LONG:
        todo = random.Random(task).sample(todo, min(SAMPLE, len(todo)))
    healed = refused = 0
    for file, damage in todo:
        path, change = case.out / file, DAMAGES[damage]
        before = path.read_bytes()
        path.unlink() if change is None else path.write_bytes(change(before))
        for command in ("status", "report", "verify"):
            done = CliRunner().invoke(app, [command, str(case.out)])
            assert isinstance(done.exception, (AvcurateError, SystemExit, type(None))), (file, damage, command)
        if ends_in_a_sentence(case.go):
            found = kept(case.run)
            assert found == wanted, (file, damage, {k for k in wanted if found.get(k) != wanted[k]})
            healed += 1
        elif file.name != "run.json":
            assert CliRunner().invoke(app, ["verify", str(case.out), "--discard-damaged"]).exit_code == 0, (
                file,
                damage,
            )
            case.go()
            assert kept(case.run) == wanted, (file, damage)
            healed += 1
        else:
            refused += 1
        shutil.rmtree(case.out)
        shutil.copytree(tmp_path / "whole", case.out)
    with capsys.disabled():
        print(f"\n{task}: {len(todo)} damages, {healed} healed, {refused} refused with a sentence")
