"""The report as a person sees it, in a real browser: true numbers, playing clips, no network, no injected code."""

import json

import pytest

from avcurate.runner.rundir import RunDir
from avcurate.tasks.label_pem.page import write_report
from avcurate.tasks.label_pem.summary import summarise
from tests import running
from tests.conftest import CountingEmbedder, write_script
from tests.report.browser import chromium, requested

HOSTILE = "<script>document.title='taken'</script><img src=http://example.com/x.png onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    """A scripted run with every kind of row, and text that would like to be code."""
    folder, _ = world
    out = tmp_path_factory.mktemp("report run") / "run #1"
    questions = json.loads((folder / "questions.json").read_text())
    for q in questions[::5]:
        q["question_text"] += HOSTILE
    questions[1]["video_name"] = "no-such-clip"
    (out.parent / "questions.json").write_text(json.dumps(questions))
    script = out.parent / "script.jsonl"
    changes = {"annotations": out.parent / "questions.json", "media": folder / "clips", "run.part_size": 20}
    changes |= {"model.engine": "scripted", "model.model": str(script)}
    running.ingest(out, changes)
    right = {"a": lambda r: 8 * (r % 3 == 0), "v": lambda r: 8 * (r % 3 == 1), "av": lambda r: 8 if r % 7 else 2}
    write_script(script, out, right, dead=frozenset({9}))
    running.run("label-pem", out, changes, embedder=CountingEmbedder())
    write_report(RunDir(out), summarise(RunDir(out)))
    return RunDir(out)


@pytest.mark.slow
def test_the_page_in_a_browser(run):
    from selenium.webdriver.common.by import By

    summary = summarise(run)
    with chromium() as browser:
        browser.get((run.root / "report.html").resolve().as_uri())
        assert browser.title.startswith("avcurate")
        shown = {r.text.rsplit(" ", 2)[0]: r.text.split()[-2] for r in _rows(browser, "labels")}
        for pem, n in summary["labels"].items():
            assert shown[pem] == str(n) and n > 0
        funnel = browser.find_element(By.ID, "funnel").text
        assert "media_missing 1" in funnel and "played_failure 1" in funnel
        dead = browser.find_element(By.ID, "dead").text
        assert "no-such-clip" in dead
        assert HOSTILE in browser.find_element(By.ID, "examples").text

        # the picture and the sound are there before anything is played, and what it cost
        assert all(
            v.get_attribute("poster").startswith("data:image/jpeg")
            for v in browser.find_elements(By.CSS_SELECTOR, "#examples video")
        )
        assert len(browser.find_elements(By.CSS_SELECTOR, "#examples svg.wave rect")) > 240
        assert "Questions not asked" in browser.find_element(By.ID, "settings").text
        assert "By question type" in browser.find_element(By.ID, "labels").text
        colours = browser.execute_script(
            "return [...document.querySelectorAll('#labels .bar span')].map(x => getComputedStyle(x).backgroundColor)"
        )
        assert len(set(colours)) == len(colours) == len(summary["labels"]) + len(summary["discarded"])
        video = browser.find_element(By.CSS_SELECTOR, "#examples video")
        browser.set_script_timeout(20)
        played = browser.execute_async_script(
            "const v = arguments[0], done = arguments[1]; v.muted = true;"
            "v.ontimeupdate = () => { if (v.currentTime > 0.2) done([v.currentTime, v.videoWidth, v.duration]) };"
            "v.onerror = () => done([0, 0, 0]); v.play().catch(() => done([0, 0, 0]));",
            video,
        )
        assert played[0] > 0.2 and played[1] == 112 and played[2] == pytest.approx(4, abs=0.3)

        details = browser.find_element(By.CSS_SELECTOR, "#examples details")
        closed = details.size["height"]
        details.find_element(By.TAG_NAME, "summary").click()
        assert details.size["height"] > closed and "It looks" in details.text

        assert len(browser.find_elements(By.CSS_SELECTOR, "svg circle.pt")) > 20
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        browser.set_window_size(420, 800)
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth + 1")
        assert browser.title.startswith("avcurate")
        assert all(u.startswith(("file:", "data:")) for u in requested(browser))
        assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


def _rows(browser, section):
    from selenium.webdriver.common.by import By

    return browser.find_elements(By.CSS_SELECTOR, f"#{section} table tr")[1:]
