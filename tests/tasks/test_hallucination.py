"""avcurate hallucination on real validation data and on broken records."""

import json
import shutil

import pytest

from avcurate.runner.rundir import RunDir
from avcurate.runner.status import dead_rows
from avcurate.sources.captioning_task import reference_captions
from avcurate.sources.clips import BadRow, read_clips
from avcurate.tasks.hallucination.page import mark, write_captions_page
from avcurate.tasks.hallucination.summary import summarise_hallucination
from tests import running


def run(tmp_path, rows, truth=None, **changes):
    file = tmp_path / "captions.jsonl"
    file.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    if truth is not None:
        (tmp_path / "truth.jsonl").write_text("".join(json.dumps(r) + "\n" for r in truth))
        changes["truth"] = tmp_path / "truth.jsonl"
    if "truth_file" in changes:
        changes["truth"] = changes.pop("truth_file")
    tallies = running.run("hallucination", tmp_path / "run", {"captions": file, **changes})
    run_dir = RunDir(tmp_path / "run")
    tally = tallies["hallucination"]
    tally.dead |= tallies["records"].dead
    return tally, run_dir, [r for t in run_dir.parts("hallucination").rows() for r in t.to_pylist()]


def test_objects_come_from_classes_or_reference_captions(tmp_path):
    rows = [
        {"clip": "a", "caption": "A dog barks at a cat", "objects": ["dog barking", "person"]},
        {"clip": "b", "caption": "A lion roars", "references": ["a big lion in the grass"]},
    ]
    _, run_dir, scored = run(tmp_path, rows)
    assert [m["node"] for m in scored[0]["mentions"] if m["invented"]] == ["cat"]
    assert scored[1]["truth"] == ["grass", "lion"] and not any(m["invented"] for m in scored[1]["mentions"])
    summary = summarise_hallucination(run_dir)
    assert summary["measures"]["chair_i"]["value"] == pytest.approx(1 / 3)


def test_bad_records_have_reasons_and_spare_their_neighbours(tmp_path):
    rows = [
        {"clip": "a", "caption": "A dog"},
        {"clip": "b", "caption": "   "},
        {"clip": "zzz", "caption": "A dog"},
        "{broken",
        {"clip": "c", "caption": "A dog"},
    ]
    truth = [
        {"clip": "a", "objects": "dog, unicorn"},
        {"clip": "b", "objects": ["dog"]},
        {"clip": "c", "objects": ["unicorn"]},
    ]
    tally, run_dir, scored = run(tmp_path, rows, truth)
    assert tally.dead == {"caption_empty": 1, "truth_missing": 1, "bad_json": 1, "class_maps_to_nothing": 1}
    assert len(scored) == 1 and scored[0]["unknown"] == ["unicorn"]
    assert all(r["message"] and r["hint"] for r in dead_rows(run_dir))


def test_clip_zero_string_references_and_other_odd_input(tmp_path):
    rows = [
        {"clip": 0, "caption": "a dog"},
        {"clip": 1, "caption": "a computer mouse"},
        {"clip": 2, "caption": "a cat"},
        {"clip": 3, "caption": "a cat"},
        {"clip": 4, "caption": "a cat \ud83d"},
    ]
    truth = [
        {"clip": 0, "objects": ["dog"], "flag": False},
        {"clip": 1, "objects": ["mouse"]},
        {"clip": 2, "objects": ["dog"], "references": "a cat sleeps"},
        {"clip": 3, "objects": 3},
    ]
    tally, _, scored = run(tmp_path, rows, truth)
    assert tally.dead == {"truth_not_a_list": 1, "not_utf8": 1}
    assert [r["clip_id"] for r in scored] == ["0", "1", "2"]
    assert not any(m["invented"] for r in scored for m in r["mentions"])


def test_a_finished_part_is_not_scored_again(tmp_path, monkeypatch):
    rows = [{"clip": "a", "caption": "a dog", "objects": ["dog"]}]
    run(tmp_path, rows)
    monkeypatch.setattr("avcurate.tasks.hallucination.stage.score_caption", None)
    tally, _, scored = run(tmp_path, rows)
    assert tally.kept == len(scored) == 1


def test_captions_are_escaped_and_marked(tmp_path):
    rows = [{"clip": "a", "caption": "A cat <script>alert(1)</script> & a dog", "objects": ["dog"]}]
    _, run_dir, scored = run(tmp_path, rows)
    shown = str(mark(scored[0]["caption"], scored[0]["mentions"]))
    assert '<mark class="bad" title="cat">cat</mark>' in shown and '<mark class="good" title="dog">dog</mark>' in shown
    assert "<script>" not in shown and "&lt;script&gt;" in shown and " &amp; " in shown
    page = write_captions_page(run_dir, summarise_hallucination(run_dir)).read_text()
    assert "<script>" not in page


def test_a_model_lists_the_objects_and_its_failures_have_reasons(tmp_path):
    """Replies to captions and references come from a script, by record."""
    pytest.importorskip("sentence_transformers")
    script = [
        {"question_id": "1", "setting": "caption", "responses": ["- a dog\n- a spoon\n- hat (possibly)"]},
        {"question_id": "2", "setting": "caption", "responses": ["- a dog"]},
        {"question_id": "2", "setting": "references", "responses": ["- a cat or a dog"]},
    ]
    (tmp_path / "script.jsonl").write_text("".join(json.dumps(x) + "\n" for x in script))
    rows = [
        {"clip": "a", "caption": "A dog with a spoon", "objects": ["dog"]},
        {"clip": "b", "caption": "A dog", "references": ["A cat or a dog"]},
        {"clip": "c", "caption": "A cat", "objects": ["cat"]},
    ]
    extractor = {"extractor.engine": "scripted", "extractor.model": str(tmp_path / "script.jsonl")}
    tally, _, scored = run(tmp_path, rows, **extractor)
    assert len(scored[0]["aloha_objects"]) == 2 and scored[0]["aloha"] == 0.0
    assert scored[1]["aloha"] == pytest.approx(1.0, abs=1e-5)
    assert tally.dead == {"not_in_script": 1}


def test_an_undefined_ratio_is_null(tmp_path):
    _, run_dir, _ = run(tmp_path, [{"clip": "a", "caption": "It is quiet", "objects": ["dog"]}])
    summary = summarise_hallucination(run_dir)
    assert summary["measures"]["chair_i"]["value"] is None and summary["measures"]["recall"]["value"] == 0
    assert "NaN" not in json.dumps(summary)
    assert "undefined (no denominator)" in write_captions_page(run_dir, summary).read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("file", "flagged", "chair", "auc"), [("hat", 135, 0.10, 0.58), ("foil", 2500, 0.28, 0.68)])
def test_hallucinated_captions_are_separated_from_true_ones(shared, tmp_path, file, flagged, chair, auc):
    """Real data: HAT (any part of a caption hallucinated) and nocaps-FOIL (one noun replaced)."""
    pytest.importorskip("sentence_transformers")
    folder = shared / "annotations"
    if file == "hat":
        rows = [
            {"clip": h["sample_id"], "caption": h["caption"], "references": h["references"],
             "flag": h["contains_hallucination"]}
            for h in json.loads((folder / "aloha_hat.json").read_text())
        ]  # fmt: skip
    else:
        rows = [
            {"clip": str(i), "caption": h[k], "references": h["references"], "flag": k == "foil"}
            for i, h in enumerate(json.loads((folder / "nocaps_foil.json").read_text()))
            for k in ("baseline", "foil")
        ]
    tally, run_dir, _ = run(tmp_path, rows, aloha=True)
    separation = summarise_hallucination(run_dir)["told_apart"]
    assert tally.kept == len(rows) == separation["captions"] and separation["hallucinated"] == flagged
    assert separation["chair"]["flagged_of_hallucinated"] - separation["chair"]["flagged_of_faithful"] > chair
    assert separation["aloha_auc"] > auc


def test_captions_are_compared_with_references_by_the_words_they_share(tmp_path):
    pytest.importorskip("pycocoevalcap")
    if shutil.which("java") is None:
        pytest.skip("there is no Java runtime")
    references = ["a dog barks at a cat", "rain falls on a roof", "a man plays a guitar on a small stage"]
    rows = [{"clip": i, "caption": r, "references": [r]} for i, r in enumerate(references)]
    rows.append({"clip": "none", "caption": "a dog", "objects": ["dog"]})
    _, run_dir, scored = run(tmp_path, rows, captioning=True)
    same = summarise_hallucination(run_dir)["captioning"]
    assert scored[0]["references"] == references[:1] and same["captions"] == 3
    assert [same[m] for m in ("meteor", "rouge_l", "bleu_4")] == pytest.approx([1, 1, 1])
    assert same["cider"] == pytest.approx(10)
    other = tmp_path / "other"
    other.mkdir()
    _, run_dir, _ = run(other, [{**r, "caption": "a dog ||| and\na cat"} for r in rows], captioning=True)
    different = summarise_hallucination(run_dir)["captioning"]
    assert all(0 < different[m] < same[m] for m in ("meteor", "cider", "rouge_l"))


def test_avhbench_captions_are_its_fourth_task(tmp_path, shared):
    file = shared / "annotations/avhbench_align_ft_qa.json"
    clips = list(read_clips(file))
    assert len(clips) == 1109 and not any(isinstance(c, BadRow) for c in clips)
    known = reference_captions(file)
    first = clips[0]
    assert first.label in known[first.clip_id]["references"]
    rows = [{"clip": c.clip_id, "caption": c.label} for c in clips[:5]]
    _, _, scored = run(tmp_path, rows, truth=None, truth_file=file)
    assert [r["references"] for r in scored] == [known[c.clip_id]["references"] for c in clips[:5]]
    assert all(not m["invented"] for r in scored for m in r["mentions"])
