"""What runs, recipes and records may refer to: nothing outside is touched, nothing half-finished is passed on."""

import json
import os
import shutil

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.errors import AvcurateError, RunLocked, UserError
from avcurate.publish.selection import Selection
from avcurate.publish.shards import Form, export_run, verify_shards
from avcurate.recipe import read_recipe, settings_of
from avcurate.runner.status import run_status
from avcurate.runner.verify import discard, verify_run
from avcurate.store.atomic import write_json
from avcurate.tasks.label_pem.relabel import relabel_run
from tests.attack.cases import CASES


@pytest.fixture
def labelled(tmp_path):
    case = CASES["label-pem"](tmp_path / "all")
    case.fix()
    case.parts["engine"].say = lambda r: (
        f"<think>It looks red.</think><answer>{'red' if r.frames is not None else 'x'}</answer>"
    )
    case.go()
    return case


class Killed(BaseException):
    pass


def killed(*_, **__):
    raise Killed


def test_a_clip_that_changed_is_never_removed(labelled):
    clip = labelled.folder / "clips/clip.mp4"
    clip.write_bytes(b"another clip")
    run = labelled.run
    report = verify_run(run, with_media=True)
    assert [d["what"] for d in report["damaged"]]
    discard(run, report)
    assert clip.read_bytes() == b"another clip"


def test_names_of_files_outside_are_neither_read_nor_removed(labelled, tmp_path):
    (tmp_path / "victim").mkdir()
    mine = tmp_path / "victim/file"
    mine.write_text("mine")
    run = labelled.run
    record = run.record()
    record["files"] = {"../../victim/file": "00", str(mine): "00", "/dev/zero": "00", "a\x00b": "00"}
    run.save(record)
    (run.root / "checkpoint").mkdir()
    (run.root / "checkpoint/files.json").write_text(json.dumps({"../../../victim/file": "00"}))
    report = verify_run(run)
    assert len(report["damaged"]) == 5
    discard(run, report)
    assert mine.read_text() == "mine" and run.record_file.exists()


def test_an_export_touches_nothing_beside_it(labelled, tmp_path):
    (tmp_path / "sh.partial").mkdir()
    (tmp_path / "sh.partial/mine").write_text("mine")
    facts = export_run(labelled.run, tmp_path / "sh", Form("parquet"), Selection(0.0, 0.0, 0))
    assert facts["rows"]["train"] > 0 and verify_shards(tmp_path / "sh")["damaged"] == []
    assert (tmp_path / "sh.partial/mine").read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} == {"all", "sh", "sh.partial"}
    shutil.copy(tmp_path / "sh/data/train-00000.parquet", tmp_path / "sh/data/train-00009.parquet")
    assert [d["path"] for d in verify_shards(tmp_path / "sh")["damaged"]] == ["data/train-00009.parquet"]


def test_two_exports_to_one_folder_do_not_mix(labelled, tmp_path, monkeypatch):
    from avcurate.publish import shards

    write = shards._write

    def slow(run, record, partial, *how):
        facts = write(run, record, partial, *how)
        if not (tmp_path / "sh").exists():
            monkeypatch.setattr(shards, "_write", write)
            export_run(run, tmp_path / "sh", Form("jsonl"), Selection(0.0, 0.0, 0))
        return facts

    monkeypatch.setattr(shards, "_write", slow)
    with pytest.raises(UserError, match="by another export"):
        export_run(labelled.run, tmp_path / "sh", Form("parquet"), Selection(0.0, 0.0, 0))
    assert {p.suffix for p in (tmp_path / "sh/data").iterdir()} == {".jsonl"}


def test_a_half_redone_run_is_not_exported(labelled, tmp_path, monkeypatch):
    changes = {"seed": 5}
    case, engine = labelled, labelled.parts["engine"]
    answer, asked = engine.say, []

    def stops(request):
        asked.append(request)
        return answer(request) if len(asked) < 14 else killed()

    engine.say = stops
    with pytest.raises(Killed):
        case.go(changes=changes, force=True)
    for act in (
        lambda: export_run(case.run, tmp_path / "sh", Form("parquet"), Selection(0.0, 0.0, 0)),
        lambda: relabel_run(case.run, 1.0, None),
    ):
        with pytest.raises(UserError, match="not a finished run"):
            act()
    engine.say = answer
    case.go(changes=changes, force=True)
    assert export_run(case.run, tmp_path / "sh", Form("parquet"), Selection(0.0, 0.0, 0))["rows"]["train"] > 0


def test_an_interrupted_relabel_is_not_finished_and_resumes(labelled, tmp_path, monkeypatch):
    monkeypatch.setattr("avcurate.tasks.label_pem.relabel.run_table", killed)
    with pytest.raises(Killed):
        relabel_run(labelled.run, 1.0, 0.9)
    assert run_status(labelled.run)["state"] != "finished"
    with pytest.raises(UserError, match="not a finished run"):
        export_run(labelled.run, tmp_path / "sh", Form("parquet"), Selection(0.0, 0.0, 0))
    monkeypatch.undo()
    relabel_run(labelled.run, 1.0, 0.9)
    assert run_status(labelled.run)["state"] == "finished"


@pytest.mark.slow
def test_an_evaluation_refuses_modified_swapped_clips(tmp_path):
    from tests import running

    swapped = CASES["swap"](tmp_path / "swap")
    swapped.go()
    case = CASES["eval"](tmp_path / "eval")
    case.fix()
    changes = {"swapped": swapped.out, "media": swapped.folder / "clips"}
    files = sorted((swapped.out / "counterfactual").iterdir())
    shutil.copy(files[0], files[1])
    with pytest.raises(UserError, match="its bytes differ from those recorded"):
        running.run("eval", case.out, case.changes | changes, **case.parts)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{n}: &{n} [{', '.join([f'*{p}'] * 10)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
)
YAMLS = {
    "bomb": BOMB,
    "itself": "a: &a [*a]\n",
    "no date": "name: 2024-13-45\n",
    "endless number": f"n: {'9' * 5000}\n",
    "no int": "n: !!int x\n",
    "no timestamp": "n: !!timestamp x\n",
    "code": "n: !!python/object/apply:os.system ['true']\n",
    "deep": "n: " + "[" * 5000 + "\n",
}


@pytest.mark.parametrize("name", list(YAMLS))
def test_an_invalid_recipe_gives_one_error(name, tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(YAMLS[name])
    with pytest.raises(UserError):
        read_recipe(str(file))


def test_invalid_values_give_one_error():
    for word in ("name=[[[" + "[" * 3000, "n=!!int x", "d=2024-13-45", "n=" + "9" * 5000):
        with pytest.raises(UserError):
            settings_of([word])


def test_names_that_are_not_utf_8_round_trip(tmp_path):
    value = {"path": "caf\udce9", "text": "é"}
    write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text("utf-8")) == value


def test_a_path_with_brackets_is_printed_as_it_is(labelled, tmp_path):
    labelled.out.rename(tmp_path / "r[bold]")
    done = CliRunner().invoke(app, ["report", str(tmp_path / "r[bold]")])
    assert done.exit_code == 0 and "r[bold]/report.html" in done.stdout.replace("\n", "")


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    from avcurate.store.lock import writer_lock

    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/lock").symlink_to(tmp_path / "mine")
    with pytest.raises(RunLocked), writer_lock(tmp_path / "run"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_odd_records_give_one_error(labelled):
    run = labelled.run
    whole = run.record()
    for odd in ({"stages": {"x": 3}}, {**whole, "schema_version": "a"}, {**whole, "stages": []}):
        run.record_file.write_text(json.dumps(odd))
        for command in ("status", "verify", "report"):
            done = CliRunner().invoke(app, [command, str(run.root)])
            assert isinstance(done.exception, (AvcurateError, SystemExit, type(None))), (odd, command, done.exception)


@pytest.mark.parametrize(
    "setting",
    [
        *(
            "media.timeout_s=.inf",
            "media.timeout_s=1e300",
            "media.memory_mb=99999999999999999",
            "n=999999999999999999999",
        ),
        *("run.part_size=99999999999999999999", "media.max_frames=1e9", "media.fps=.inf", "run.workers=1000000"),
    ],
)
def test_out_of_range_values_are_refused_before_anything_runs(labelled, setting):
    words = ["label-pem", labelled.folder / "q.json", "--media", labelled.folder / "clips", "-o", labelled.folder / "x"]
    done = CliRunner().invoke(app, [*map(str, words), "--set", setting])
    assert isinstance(done.exception, UserError) and not (labelled.folder / "x").exists()


def test_the_run_to_compare_with_is_checked_first(labelled, tmp_path):
    from tests import running

    for task in ("eval", "judge"):
        case = CASES[task](tmp_path / task)
        case.fix()
        with pytest.raises(UserError, match=r"not a finished run|not a run"):
            running.run(task, case.out, case.changes | {"against": labelled.out}, **case.parts)
        assert case.work() == 0


def test_a_reason_that_no_dead_row_has_is_refused(labelled):
    done = CliRunner().invoke(app, ["retry", str(labelled.out), "--reason", "nosuch"])
    assert isinstance(done.exception, UserError) and "media_missing" in done.exception.hint


def test_a_missing_row_or_record_is_refused_and_commits_to_nothing(tmp_path):
    case = CASES["label-pem"](tmp_path / "all")
    for changes, says in (({"run.only": ("nosuch",)}, "has the id 'nosuch'"), ({"run.records": (999,)}, "record 999")):
        with pytest.raises(UserError, match=says):
            case.go(changes=changes)
    case.go()
    assert run_status(case.run)["state"] == "finished"


def test_a_retry_changes_no_row_that_is_not_dead(labelled):
    """Neither with other thresholds nor back to those before `label`."""
    with pytest.raises(AvcurateError, match=r"stored label output .*tau_acc: 0\.75 → 0\.5"):
        labelled.go(changes={"tau_acc": 0.5}, retry=frozenset())
    # a higher one, which needs no further samples
    relabel_run(labelled.run, 1.0, None)

    def labels():
        rows = [r for t in labelled.run.parts("label").rows() for r in t.to_pylist()]
        return {r["question_id"]: (r["pem"], r["tau_acc"]) for r in rows}

    before = labels()
    assert labelled.run.record()["recipe"]["tau_acc"] == 1.0
    labelled.go(changes={"tau_acc": 1.0}, retry=frozenset())
    assert before.items() <= labels().items() and {t for _, t in labels().values()} == {1.0}


def test_a_pipe_named_lock_hangs_nothing(labelled):
    (labelled.out / "lock").unlink()
    os.mkfifo(labelled.out / "lock")
    assert run_status(labelled.run)["state"] == "finished"
    with pytest.raises(RunLocked, match="not a regular file"):
        labelled.go()


def test_a_run_of_two_recipes_has_no_report(labelled, monkeypatch):
    """A forced run stopped halfway."""
    from avcurate.runner import execute

    commit, done = execute.StageRun._commit, []

    def once(self, *words, **more):
        if done:
            raise Killed
        done.append(1)
        return commit(self, *words, **more)

    monkeypatch.setattr(execute.StageRun, "_commit", once)
    with pytest.raises(Killed):
        labelled.go(changes={"run.part_size": 1, "n": 2}, force=True)
    monkeypatch.undo()
    result = CliRunner().invoke(app, ["report", str(labelled.out)])
    assert isinstance(result.exception, UserError) and "holds old and new rows" in result.exception.message


BAD_SIDES = {
    "a record that cannot be read": '{"clip": "a.mp4", "objects": ["cat"]}\n{"clip": "b.mp4", "obj\n',
    "no clip": '{"clip": "a.mp4", "objects": ["cat"]}\n{"objects": ["dog"]}\n',
    "a clip twice": '{"clip": "a.mp4", "objects": ["cat"]}\n{"clip": "a.mp4", "objects": ["dog"]}\n',
}


@pytest.mark.parametrize("what", BAD_SIDES)
def test_a_second_table_is_used_in_full_or_refused(tmp_path, what):
    from avcurate.sources.side import side_table

    file = tmp_path / "truth.jsonl"
    file.write_text(BAD_SIDES[what])
    with pytest.raises(UserError, match=r"record 2 of .*truth\.jsonl"):
        side_table(file, "clip")
    file.write_text('{"clip": "a.mp4", "objects": ["cat"]}\n' * 2)
    assert side_table(file, "clip") == {"a.mp4": {"clip": "a.mp4", "objects": ["cat"]}}


def test_tasks_refuse_a_second_table_by_its_record(tmp_path):
    (tmp_path / "captions.jsonl").write_text(
        '{"clip": "a.mp4", "caption": "A cat.", "audio_caption": "A cat meows."}\n'
    )
    (tmp_path / "bad.jsonl").write_text('{"clip": "a.mp4", "objects": ["cat"], "caption": "A cat."}\n{"clip": 3')
    (tmp_path / "judge.jsonl").write_text("{}")
    scripted = ["-e", "scripted", "-m", str(tmp_path / "judge.jsonl")]
    for words in (
        ["hallucination", "--truth", tmp_path / "bad.jsonl"],
        ["judge", "--truth", tmp_path / "bad.jsonl", *scripted],
        ["pair", "--video-captions", tmp_path / "bad.jsonl"],
    ):
        task, *options = map(str, words)
        result = CliRunner().invoke(app, [task, str(tmp_path / "captions.jsonl"), *options, "-o", str(tmp_path / task)])
        assert isinstance(result.exception, UserError), (task, result.output, result.exception)
        assert "record 2" in result.exception.message, (task, result.exception)
