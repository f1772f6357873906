"""The Python API: the same runs as the command line's, opened, read, relabelled; heavy imports only when needed."""

import subprocess
import sys

import pytest

import avcurate as av
from avcurate.errors import UserError
from avcurate.tasks import TASKS
from tests.attack.cases import lines

ROWS = [{"clip": c, "caption": "A dog barks at a cat", "objects": ["dog"]} for c in "abc"]


def test_importing_it_imports_nothing_heavy():
    heavy = ("numpy", "pyarrow", "pydantic", "typer", "torch")
    code = f"import avcurate, sys; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_task_has_a_function():
    named = {"eval": "evaluate", "train": "train_on"}
    named |= {t: "probe" for t in TASKS.names() if t.startswith("probe-")}
    assert all(callable(getattr(av, named.get(t, t.replace("-", "_")))) for t in TASKS.names())


def test_a_task_is_run_read_and_resumed(tmp_path):
    pytest.importorskip("simplemma")
    file = lines(tmp_path / "c.jsonl", [*ROWS, {"clip": "d", "caption": ""}])
    run = av.hallucination(file, out=tmp_path / "run", settings={"run.part_size": 2})
    assert (run.task, run.tables) == ("hallucination", ["records", "hallucination"])
    assert run.rows(columns=["clip_id"]).column(0).to_pylist() == ["a", "b", "c"]
    assert [d["reason"] for d in run.dead()] == ["caption_empty"]
    assert run.summary()["captions"] == 3 and run.status()["state"] == "finished"
    assert "finished" in repr(av.open_run(tmp_path / "run"))
    assert len(run.to_pandas()) == 3 if pytest.importorskip("pandas") else True
    again = av.run("hallucination", file, out=tmp_path / "run", settings={"run.part_size": 2})
    assert again.rows().equals(run.rows())
    assert run.show().name == "report.html"
    with pytest.raises(UserError, match="no labels"):
        _ = run.mix
    with pytest.raises(UserError, match="no table"):
        run.rows("nothing")
    with pytest.raises(UserError, match="no column 'colour'"):
        run.rows(columns=["colour"])


def test_invalid_arguments_are_named(tmp_path):
    with pytest.raises(TypeError, match="no option 'colour'"):
        av.judge("c.jsonl", out=tmp_path, colour="red")
    with pytest.raises(TypeError, match="positional inputs"):
        av.run("judge", "a", "b", out=tmp_path)
    with pytest.raises(UserError, match="not a run directory"):
        av.open_run(tmp_path)
    with pytest.raises(AttributeError):
        _ = av.nothing


@pytest.mark.slow
def test_labels_are_counted_and_relabelled_with_another_threshold(world, tmp_path):
    pytest.importorskip("torch")
    folder, _ = world
    run = av.label_pem(folder / "questions.json", media=folder / "clips", out=tmp_path / "run", limit=12, n=4)
    assert sum(run.mix.values()) + sum(run.summary()["discarded"].values()) == 12
    changed = run.relabel(tau_acc=1.0)
    assert changed["after"]["tau_acc"] == 1.0 and changed["rows"] == 12
    assert len(run.to_datasets(columns=["question_id", "pem"])) == 12
