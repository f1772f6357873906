"""Every row that came in is shown once with its state, in finished runs and in those going on, of every task."""

import shutil

import pytest

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.tasks.label_pem.view import LABEL_VIEW
from avcurate.viewer.detail import detail
from avcurate.viewer.index import Index
from avcurate.viewer.search import search
from avcurate.viewer.view import View
from tests import running
from tests.running import rows_of


def facet(found, name):
    return {v["value"]: v["n"] for f in found["facets"] if f["name"] == name for v in f["values"]}


def test_every_row_is_shown_once_with_its_state(index, runs):
    found = search(index, 0, "", limit=200)
    kept = rows_of(runs[0], "label", ["question_id"])
    assert found["total"] == 30 == len({r["key"] for r in found["rows"]})
    assert facet(found, "state") == {"kept": len(kept), "dead": 2, "filtered": 1} and len(kept) == 27
    reasons = facet(found, "reason")
    assert reasons == {None: 27, "played_failure": 1, "media_missing": 1, "duplicate": 1}
    labels = facet(found, "pem")
    for name in ("Audio", "Visual", "Audio-Visual"):
        assert labels[name] == sum(r["pem"] == name for r in rows_of(runs[0], "label", ["pem"])) > 0


def test_a_row_that_died_says_why_and_how_to_repeat_it(index):
    for reason in ("played_failure", "media_missing"):
        [row] = search(index, 0, f"reason:{reason}")["rows"]
        lost = detail(index, 0, row["key"])["lost"]
        assert lost["reason"] == reason and lost["message"] and "avcurate" in lost["reproduce"]


def test_a_run_that_goes_on_shows_what_is_there_and_then_the_rest(runs, tmp_path):
    shutil.copytree(runs[0].root, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    later = [p for t in ("label", "score") for p in (run.root / t).glob("part-00002.*")]
    for path in later:
        path.rename(tmp_path / f"{path.parent.name}-{path.name}")
    index = Index([(run, LABEL_VIEW)])
    before = facet(search(index, 0, ""), "state")
    assert before["in progress"] > 0 and search(index, 0, "")["total"] == 30
    part = search(index, 0, 'state:"in progress"')["rows"][0]
    row = detail(index, 0, part["key"])
    assert row["label"] is None and row["answers"][0]["responses"] and row["steps"] == []
    for path in later:
        (tmp_path / f"{path.parent.name}-{path.name}").rename(path)
    index.refresh(force=True)
    assert "in progress" not in facet(search(index, 0, ""), "state")


def test_nothing_yet_is_an_empty_page(tmp_path):
    run = RunDir(tmp_path)
    run.save(run.begin("label-pem"))
    assert search(Index([(run, LABEL_VIEW)]), 0, "")["total"] == 0


def test_a_row_has_its_responses_and_the_steps_to_its_label(index, runs):
    stored = {r["question_id"]: r for r in rows_of(runs[0], "label")}
    [first, *_] = search(index, 0, "pem:Visual")["rows"]
    row, kept = detail(index, 0, first["key"]), stored[first["key"]]
    assert [g["name"] for g in row["answers"]] == ["sound alone", "picture alone", "sound and picture"]
    for group, setting in zip(row["answers"], ("a", "v", "av"), strict=True):
        assert [r["text"] for r in group["responses"]] == [r["text"] for r in kept[f"{setting}_responses"]]
        assert [r["right"] for r in group["responses"]] == kept[f"{setting}_correct"]
    assert (
        row["steps"][1].startswith(f"picture alone: {kept['v_k']} of {kept['v_asked']} right")
        and "solved" in row["steps"][1]
    )
    assert "needs 6 of 8" in row["steps"][0] and row["steps"][3] == "So the preferred evidence is Visual."
    assert row["clips"][0]["name"] == kept["media"]
    shown = {v["name"]: v["value"] for v in row["values"]}
    assert shown["av_consistency"] == kept["av_consistency"] and "av_responses" not in shown
    with pytest.raises(UserError, match="no row"):
        detail(index, 0, "none")


def test_other_tasks_need_no_declaration(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"clip": "a", "caption": "A dog", "objects": ["dog"]}\n{"clip": "b"}\n')
    pytest.importorskip("simplemma")
    run = RunDir(tmp_path / "run")
    running.run("hallucination", run.root, {"captions": tmp_path / "c.jsonl"})
    index = Index([(run, View())])
    found = search(index, 0, "")
    assert found["total"] == 2 and facet(found, "state") == {"kept": 1, "dead": 1}
    row = detail(index, 0, search(index, 0, "dog")["rows"][0]["key"])
    assert (
        row["title"] == "A dog"
        and {"name": "truth", "value": ["dog"]}.items()
        <= next(v for v in row["values"] if v["name"] == "truth").items()
    )
