"""Damage to finished runs of every task: the same command repairs it or prints one error; no traceback."""

import hashlib
import shutil

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.errors import AvcurateError
from avcurate.tasks.base import Context
from tests.attack.cases import CASES
from tests.attack.damages import DAMAGES
from tests.conftest import sampled

pytest.importorskip("simplemma")
SAMPLE = 8


def kept(run):
    """Hashes of all Parquet parts, which must come out the same again."""
    files = sorted(p for p in run.root.rglob("part-*.parquet"))
    return {str(p.relative_to(run.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def succeeds(run_it):
    """Whether it succeeded; False for an AvcurateError, any other exception fails the test."""
    try:
        run_it()
    except AvcurateError as e:
        assert e.message
        return False
    return True


def damages(root):
    files = [p.relative_to(root) for p in root.rglob("*") if p.is_file() and p.name != "lock"]
    targets = [f for f in files if f.suffix in (".parquet", ".json", ".jsonl", ".mp4")]
    return [(f, d) for f in sorted(targets) for d in DAMAGES]


@pytest.mark.slow
@pytest.mark.parametrize("task", list(CASES))
def test_every_damage_is_repaired_or_gives_one_error(task, tmp_path, monkeypatch, capsys):
    case = CASES[task](tmp_path / "all")
    monkeypatch.setattr("avcurate.cli.commands.Context", lambda out: Context(out, **case.parts))
    case.go()
    expected = kept(case.run)
    shutil.copytree(case.out, tmp_path / "whole")
    damage_list = sampled(damages(case.out), SAMPLE, task)
    repaired = refused = 0
    for file, damage in damage_list:
        path, change = case.out / file, DAMAGES[damage]
        before = path.read_bytes()
        path.unlink() if change is None else path.write_bytes(change(before))
        for command in ("status", "report", "verify"):
            done = CliRunner().invoke(app, [command, str(case.out)])
            assert isinstance(done.exception, (AvcurateError, SystemExit, type(None))), (file, damage, command)
        if succeeds(case.go):
            actual = kept(case.run)
            assert actual == expected, (file, damage, {k for k in expected if actual.get(k) != expected[k]})
            repaired += 1
        elif file.name != "run.json":
            assert CliRunner().invoke(app, ["verify", str(case.out), "--discard-damaged"]).exit_code == 0, (
                file,
                damage,
            )
            case.go()
            assert kept(case.run) == expected, (file, damage)
            repaired += 1
        else:
            refused += 1
        shutil.rmtree(case.out)
        shutil.copytree(tmp_path / "whole", case.out)
    with capsys.disabled():
        print(f"\n{task}: {len(damage_list)} damages, {repaired} repaired, {refused} refused with an error")
