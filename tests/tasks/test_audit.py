"""The audit finds what leaked, and its page plays both clips in a browser."""

import json
import shutil

import pytest

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.tasks.swap.audit import audit
from avcurate.tasks.swap.audit_page import write_audit_page
from tests import running
from tests.conftest import ffmpeg
from tests.report.browser import chromium


@pytest.fixture(scope="module")
def swapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    clips = folder / "clips"
    clips.mkdir()
    for i, name in enumerate(("one", "two <b>", "three")):
        picture = ("-f", "lavfi", "-i", f"testsrc=s=64x48:r=10:d=2:duration=2:n={i}")
        ffmpeg(*picture, "-f", "lavfi", "-i", f"sine={300 * (i + 1)}:d=2", str(clips / f"{name}.mp4"))
    first = {"clip": "one", "donor": "two <b>", "audio_captions": ["a tractor engine"], "answers": ["engine"]}
    first |= {"donor_captions": ["an engine starts"], "video_captions": ["<script>alert(1)</script>"], "margin": 0.1}
    second = {"clip": "two <b>", "donor": "three", "audio_captions": ["birds chirp"], "answers": ["birds"]}
    pairs = [first, second | {"donor_captions": ["rain"]}, {"clip": "three", "donor": "gone"}]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(p) + "\n" for p in pairs))
    running.run("swap", folder / "run", {"pairs": folder / "pairs.jsonl", "media": clips})
    return RunDir(folder / "run")


def test_leaks_are_found_by_words(swapped):
    result = audit(swapped)
    by = {i["clip"]: i for i in result["items"]}
    assert result["pairs"] == 2 and result["refused"] == {"media_missing": 1}
    assert by["one.mp4"]["says_answer"] == ["engine"] and by["one.mp4"]["shared_words"] == ["engine"]
    assert by["two <b>.mp4"]["says_answer"] == [] and by["two <b>.mp4"]["shared_words"] == []
    assert result["leaks"] == {"says_answer": 1, "still_heard": 0, "shared_words": 1}
    with pytest.raises(UserError, match="not a run directory"):
        audit(RunDir(swapped.root / "x"))


@pytest.mark.slow
def test_both_clips_play_side_by_side_and_text_is_escaped(swapped):
    page = write_audit_page(swapped.root, audit(swapped))
    with chromium() as browser:
        browser.get(page.as_uri())
        videos = browser.find_elements("css selector", "video")
        assert len(videos) == 4 and "<script>alert" in browser.find_element("id", "pair-1").text
        play = (
            "const [v, done] = arguments; v.muted = true; v.onended = () => done(v.duration);"
            "v.play().catch(e => done(String(e)));"
        )
        lengths = [browser.execute_async_script(play, v) for v in videos[:2]]
        assert all(abs(x - 2) < 0.1 for x in lengths), lengths
        assert not [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]


def test_an_evaluation_of_other_clips_proves_nothing(swapped, tmp_path):
    from avcurate.sources.formats import read_avqa

    (tmp_path / "clips").mkdir()
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1", "-f", "lavfi", "-i", "sine=d=1", str(tmp_path / "clips/one.mp4"))
    raw = {"id": 1, "video_name": "one", "question_text": "What?", "multi_choice": ["x", "y"], "answer": 0}
    (tmp_path / "q.json").write_text(json.dumps([raw]))
    line = {"question_id": read_avqa(raw).question_id, "setting": "a", "responses": ["<ans>x</ans>"]}
    (tmp_path / "s.jsonl").write_text(json.dumps(line) + "\n")
    changes = {"annotations": tmp_path / "q.json", "media": tmp_path / "clips", "conditions": "a"}
    changes |= {"model.engine": "scripted", "model.model": str(tmp_path / "s.jsonl")}
    running.run("eval", tmp_path / "e", changes)
    with pytest.raises(UserError, match="did not ask about these"):
        audit(swapped, RunDir(tmp_path / "e"))


def test_a_replaced_counterfactual_is_refused(swapped, tmp_path):
    from avcurate.errors import UserError
    from avcurate.review.items import all_items

    run = RunDir(shutil.copytree(swapped.root, tmp_path / "copy"))
    clip = next(run.root.rglob("*.mp4"))
    clip.write_bytes(b"another clip")
    for look in (lambda: audit(run), lambda: all_items(run, 0)):
        with pytest.raises(UserError, match="verify"):
            look()
