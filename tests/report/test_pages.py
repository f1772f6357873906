"""The pages of objects and captions in a real browser: pictures load, marks show, nothing is fetched."""

import json

import pytest

from avcurate.runner.rundir import RunDir
from avcurate.tasks.hallucination.page import write_captions_page
from avcurate.tasks.hallucination.summary import summarise_hallucination
from avcurate.tasks.objects.page import write_objects_page
from avcurate.tasks.objects.summary import summarise_objects
from tests import running
from tests.report.browser import chromium, requested
from tests.tasks.test_objects import Brightness

pytestmark = pytest.mark.slow
pytest.importorskip("PIL")
pytest.importorskip("simplemma")


def test_contact_sheets_are_seen(world, tmp_path):
    folder, items = world
    names = sorted({i.clip.name for i in items})[:3]
    (tmp_path / "list.csv").write_text("clip,label\n" + "".join(f"{n}.mp4,<b>dog</b> barking\n" for n in names))
    out = tmp_path / "run #2"
    changes = {"clips": tmp_path / "list.csv", "media": folder / "clips", "threshold": 0.4}
    running.run("objects", out, changes, detector=Brightness())
    page = write_objects_page(RunDir(out), summarise_objects(RunDir(out)))
    with chromium() as browser:
        browser.get(page.resolve().as_uri())
        browser.execute_script("document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; });")
        widths = browser.execute_async_script(
            "const done = arguments[0], all = [...document.images];"
            "Promise.all(all.map(i => i.decode().then(() => i.naturalWidth))).then(done, () => done([]));"
        )
        assert widths == [5 * 256] * 3
        assert "<b>dog</b> barking" in browser.find_element("id", "clips").text
        assert all(u.startswith(("file:", "data:")) for u in requested(browser))


def test_invented_words_are_marked(tmp_path):
    row = {"clip": "a", "caption": "A cat <i>and</i> a dog", "objects": ["dog"]}
    (tmp_path / "c.jsonl").write_text(json.dumps(row) + "\n")
    run = RunDir(tmp_path / "run")
    running.run("hallucination", run.root, {"captions": tmp_path / "c.jsonl"})
    page = write_captions_page(run, summarise_hallucination(run))
    with chromium() as browser:
        browser.get(page.resolve().as_uri())
        marks = browser.find_elements("css selector", "#captions mark")
        assert [(m.text, m.get_attribute("class")) for m in marks] == [("cat", "bad"), ("dog", "good")]
        assert "<i>and</i>" in browser.find_element("id", "captions").text
        assert "0.500" in browser.find_element("id", "measures").text
