"""Labels asked again: how many repeat, what is refused, and labels kept for a precision."""

import json
import shutil

import numpy as np
import pytest

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.tasks.label_pem.relabel import relabel_run
from avcurate.tasks.label_pem.retest import chosen, compare, figure, keep, kept
from avcurate.tasks.label_pem.summary import summarise
from avcurate.tasks.label_pem.task import LabelPem
from tests import running
from tests.conftest import CountingEmbedder, write_questions, write_script
from tests.running import rows_of


def labelled(folder, name, rates, seed, rows):
    """A run whose answers are drawn: each question and setting has its rate."""
    rng = np.random.default_rng(seed)
    drawn = {s: rng.binomial(8, rates[s]) for s in rates}
    out = folder / name
    changes = {"annotations": folder / "qa.json", "media": folder / "clips", "run.part_size": 64, "seed": seed}
    running.ingest(out, changes)
    write_script(folder / f"{name}.jsonl", out, {s: lambda row, s=s: int(drawn[s][row - 1]) for s in drawn})
    changes |= {"model.engine": "scripted", "model.model": folder / f"{name}.jsonl", "early_exit": False}
    changes |= {"embedder.tau_cot": -1.0}
    running.run("label-pem", out, changes, embedder=CountingEmbedder())
    return RunDir(out)


@pytest.fixture(scope="module")
def two(tmp_path_factory, tiny_clip):
    folder, size = tmp_path_factory.mktemp("retest"), 240
    (folder / "clips").mkdir()
    shutil.copy(tiny_clip, folder / "clips/clip.mp4")
    write_questions(folder / "qa.json", size)
    rng = np.random.default_rng(7)
    rates = {s: rng.choice([0.02, 0.3, 0.7, 0.98], size, p=p) for s, p in
             (("a", [0.5, 0.2, 0.1, 0.2]), ("v", [0.4, 0.2, 0.1, 0.3]), ("av", [0.05, 0.05, 0.2, 0.7]))}  # fmt: skip
    return [labelled(folder, f"seed-{seed}", rates, seed, size) for seed in (1, 2)]


def test_stated_confidence_is_how_often_labels_repeat(two):
    result = compare(*two)
    one, other = ({r["question_id"]: r for r in rows_of(run, "label")} for run in two)
    both = [i for i in one if one[i]["pem"]]
    assert result["reliability"]["n"] == len(both) > 100 and result["lost"] == 0
    assert result["reliability"]["observed"] == pytest.approx(np.mean([one[i]["pem"] == other[i]["pem"] for i in both]))
    assert result["reliability"]["stated"] == pytest.approx(result["reliability"]["observed"], abs=0.06)
    assert sum(c["questions"] for c in result["changes"]) == len(both)
    assert sum(m["n"] for m in result["labels"].values()) == len(both)
    json.dumps(result, allow_nan=False)
    assert figure(result)["series"][0]["x"] == [b["stated"] for b in result["reliability"]["bins"]]


def test_the_report_shows_the_last_comparison(two, tmp_path):
    shutil.copytree(two[0].root, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    assert kept(run) is None and "Asked again" not in LabelPem().page(run, summarise(run)).read_text()
    keep(run, compare(*two))
    assert "Confidence against what repeats" in LabelPem().page(run, summarise(run)).read_text()
    (run.root / "retest.json").write_text("[]")
    assert kept(run) is None


def test_who_is_asked_again(two):
    labels = {r["question_id"] for r in rows_of(two[0], "label") if r["pem"]}
    some = chosen(two[0], 0.05, 0)
    assert len(some) == 50 and set(some) < labels and some == chosen(two[0], 0.05, 0) != chosen(two[0], 0.05, 1)
    assert len(chosen(two[0], 0.5, 0)) == -(-len(labels) // 2) and set(chosen(two[0], 1, 0)) == labels
    with pytest.raises(UserError, match="same seed"):
        compare(two[0], two[0])


def test_labels_for_a_precision_are_the_surest_and_keep_their_word(two, tmp_path):
    shutil.copytree(two[0].root, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    before = {r["question_id"]: r for r in rows_of(run, "label")}
    change = relabel_run(run, None, None, precision=0.95)
    after = {r["question_id"]: r for r in rows_of(run, "label")}
    cut = change["cut"]
    unsure = {i for i, r in after.items() if r["discard_reason"] == "unsure"}
    assert unsure == {i for i, r in before.items() if r["pem"] and r["confidence"] < cut["confidence"]} != set()
    held = [i for i, r in after.items() if r["pem"]]
    assert len(held) == cut["kept"] and cut["kept"] + len(unsure) == cut["of"]
    assert (
        np.mean([after[i]["confidence"] for i in held]) == pytest.approx(cut["precision"]) and cut["precision"] >= 0.95
    )
    low, _ = compare(run, two[1])["reliability"], None
    assert low["observed"] > 0.9
    # a resumed run keeps the cut, and without one all labels are back
    assert run.record()["recipe"]["min_confidence"] == cut["confidence"]
    relabel_run(run, None, None, min_confidence=0.0)
    assert {i: r["pem"] for i, r in before.items()} == {r["question_id"]: r["pem"] for r in rows_of(run, "label")}
    with pytest.raises(UserError, match="sure enough"):
        relabel_run(run, None, None, precision=1.0)
