"""Blind review: in a browser by keyboard, hostile requests refused, verdicts as columns, agreement by hand."""

import json
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from avcurate.errors import UserError
from avcurate.review.app import make_review
from avcurate.review.items import CANNOT_TELL, PAIR_KEYS, Item, all_items
from avcurate.review.plans import planned
from avcurate.review.verdicts import (
    add_verdict,
    agreement,
    export_verdicts,
    read_verdicts,
    rejected_items,
    verdict_columns,
)
from avcurate.runner.rundir import RunDir
from avcurate.viewer.serve import listening
from tests.report.browser import chromium
from tests.tasks.test_audit import swapped  # noqa: F401
from tests.viewer.test_page import press, until

TOKEN = "secret-token"


def client(run, items, reviewer):
    testing = pytest.importorskip("starlette.testclient")
    c = testing.TestClient(make_review(run, items, reviewer, TOKEN), base_url="http://127.0.0.1:8765")
    assert c.get("/api/item?item=0").status_code == 403
    assert c.get(f"/?token={TOKEN}").status_code == 200
    return c


@contextmanager
def serving(run, items, reviewer):
    uvicorn = pytest.importorskip("uvicorn")
    with listening(0) as listener:
        server = uvicorn.Server(uvicorn.Config(make_review(run, items, reviewer, TOKEN), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/?token={TOKEN}"
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def run(swapped, tmp_path):  # noqa: F811
    shutil.copytree(swapped.root, tmp_path / "run")
    return RunDir(tmp_path / "run")


def test_the_page_never_learns_what_is_expected(run):
    items = all_items(run, 0)
    assert len(items) == 2 and {i.expected for i in items} <= set(PAIR_KEYS.values())
    shown = {seed: tuple(i.media.parent.name for i in all_items(run, seed)) for seed in range(12)}
    assert len(set(shown.values())) > 1 and all_items(run, 3) == all_items(run, 3)
    c = client(run, items, "ann")
    for reply in (c.get("/api/item?item=0"), c.get("/"), c.get("/review.js")):
        assert b"counterfactual" not in reply.content and b"expected" not in reply.content
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert c.get("/media?item=0", headers={"Range": "bytes=0-9"}).status_code == 206
    assert len(c.get("/media?item=0").content) == items[0].media.stat().st_size
    assert c.get("/poster?item=0").content[:3] == b"\xff\xd8\xff" and c.get("/api/wave?item=0").json()


def test_anything_but_a_verdict_is_refused(run):
    items = all_items(run, 0)
    c = client(run, items, "ann")
    for path in ("/api/item?item=9", "/api/item?item=-1", "/api/item?item=x", "/media?item=9", "/../run.json"):
        assert c.get(path).status_code == 404, path
    assert c.get("/api/verdict?item=0").status_code == 405
    good = {"key": "y", "seconds": 1}
    for body in ({}, {"key": "z", "seconds": 1}, {"key": "y", "seconds": "x"}, [], None, {"key": ["y"], "seconds": 1}):
        assert c.post("/api/verdict?item=0", json=body).status_code == 400, body
    for text in (
        '{"key": "y", "seconds": NaN}',
        '{"key": "y", "seconds": 1e999}',
        '{"key": "y", "seconds": -1}',
        "[" * 4000,
    ):
        assert c.post("/api/verdict?item=0", content=text).status_code == 400, text[:40]
    assert c.post("/api/verdict?item=0", content="y" * 9000).status_code == 413
    assert c.post("/api/verdict?item=7", json=good).status_code == 404
    # another page, or another name for this machine, is refused although the browser has the cookie
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:8765"}):
        assert c.post("/api/verdict?item=0", json=good, headers=headers).status_code == 403, headers
    assert not (run.root / "review").exists()
    assert c.post("/api/verdict?item=0", json=good, headers={"Origin": "http://127.0.0.1:8765"}).status_code == 200
    assert read_verdicts(run)["ann"][items[0].id]["verdict"] == PAIR_KEYS["y"]
    with pytest.raises(UserError, match="is not a reviewer's name"):
        make_review(run, items, "../ann", TOKEN)


def test_verdicts_survive_a_crash_become_columns_and_are_compared(run):
    items = all_items(run, 0)
    for item in items:
        add_verdict(run, "ann", item, item.expected, 1.0)
    add_verdict(run, "bob", items[0], CANNOT_TELL, 2.0)
    add_verdict(run, "bob", items[0], items[0].expected, 2.0)
    add_verdict(run, "bob", items[1], CANNOT_TELL, 2.0)
    with (run.root / "review/bob.jsonl").open("a") as f:
        f.write('{"item": "cut o')
    assert read_verdicts(run)["bob"][items[0].id]["verdict"] == items[0].expected
    table = pq.read_table(export_verdicts(run)).to_pylist()
    assert {r["item"]: r["verdict_ann"] for r in table} == {i.id: i.expected for i in items}
    assert {r["verdict_bob"] for r in table} == {CANNOT_TELL, items[0].expected}
    result = agreement(run, items)
    assert result["reviewers"]["ann"]["agree"] == 1 and result["reviewers"]["ann"]["rejected"] == []
    assert result["reviewers"]["bob"]["rejected"] == [items[1].id] and result["between"]["ann, bob"]["agree"] == 0.5
    # "cannot tell" is no verdict on the whole
    assert result["precision"]["value"] == 1 and result["precision"]["n"] == 2 and rejected_items(run) == set()
    assert result["alpha"]["items"] == 1
    assert verdict_columns(run)["reviewed"] == {i.id: "confirmed" for i in items}
    assert client(run, items, "bob").get("/api/item?item=0").status_code == 404


@pytest.mark.slow
def test_a_person_reviews_by_keyboard(run):
    from selenium.webdriver.common.keys import Keys

    items = all_items(run, 0)
    with serving(run, items, "carl") as address, chromium() as b:
        b.get(address)
        until(b, "document.querySelectorAll('#keys button').length === 3")
        until(b, "document.querySelectorAll('svg.wave rect').length > 100")
        press(b, "3")
        until(b, "document.querySelector('video').muted")
        press(b, "n")
        until(b, "document.getElementById('left').textContent === '1 left'")
        # a slip is put right
        press(b, Keys.BACKSPACE)
        until(b, "document.getElementById('left').textContent === '2 left'")
        press(b, "y")
        until(b, "document.getElementById('left').textContent === '1 left'")
        press(b, "n")
        until(b, "document.getElementById('left').textContent.includes('Done')")
        assert not [e for e in b.get_log("browser") if e["level"] == "SEVERE" and "item=2" not in e["message"]]
    verdicts = read_verdicts(run)["carl"]
    assert [verdicts[i.id]["verdict"] for i in items] == ["as described", "something else"]


def test_a_torn_line_costs_no_later_verdict(run):
    items = all_items(run, 0)
    (run.root / "review").mkdir()
    (run.root / "review/ann.jsonl").write_text('{"item": "cut o')
    add_verdict(run, "ann", items[0], items[0].expected, 1.0)
    assert list(read_verdicts(run)["ann"]) == [items[0].id]


def made_up(run, size=60):
    """Items of three strata of unequal size, with confidences."""
    strata = ["Audio"] * (size // 6) + ["Visual"] * (size // 3) + ["Audio-Visual"] * (size // 2)
    keys = {"a": "Audio", "v": "Visual", "b": "Audio-Visual"}
    return [Item(f"i{i}", run.root, (), keys, s, stratum=s, confidence=i / size) for i, s in enumerate(strata)]


def test_plans_choose_what_they_say(run):
    items = made_up(run)
    assert planned(items, "random", 0, 1, {}) != planned(items, "random", 0, 2, {})
    assert planned(items, "random", 10, 1, {}) == planned(items, "random", 0, 1, {})[:10]
    turns = planned(items, "stratified", 15, 0, {})
    assert [t.stratum for t in turns] == ["Audio", "Audio-Visual", "Visual"] * 5
    assert [i.id for i in planned(items, "lowest", 3, 0, {})] == ["i0", "i1", "i2"]
    verdicts = {
        "ann": {"i0": {"verdict": "Audio"}, "i1": {"verdict": "Visual"}, "i2": {"verdict": "Audio"}},
        "bob": {"i2": {"verdict": "Visual"}},
    }
    assert [i.id for i in planned(items, "disagreements", 0, 0, verdicts)] == ["i2", "i1"]


def test_the_precision_of_the_whole_weighs_strata_by_their_size(run):
    items = made_up(run)
    by = {s: [i for i in items if i.stratum == s] for s in ("Audio", "Visual", "Audio-Visual")}
    # five of each were reviewed: of Audio two are wrong, of the others none
    for stratum, group in by.items():
        for n, item in enumerate(group[:5]):
            wrong = stratum == "Audio" and n < 2
            add_verdict(run, "ann", item, "Visual" if wrong else item.expected, 1.0)
    precision = agreement(run, items)["precision"]
    assert precision["value"] == pytest.approx((10 * 3 / 5 + 20 + 30) / 60) and precision["n"] == 15
    low, high = precision["interval"]
    assert low < precision["value"] and 0.6 < low < high < 1
    assert precision["strata"]["Audio"] == {"size": 10, "right": 3, "n": 5}
    assert rejected_items(run) == {i.id for i in by["Audio"][:2]}
    json.dumps(agreement(run, items), allow_nan=False)


def test_confidence_is_held_against_what_reviewers_confirm(run):
    sure = [replace(i, confidence=0.9 if n % 4 else 0.2) for n, i in enumerate(made_up(run, 60))]
    for n, item in enumerate(sure):
        wrong = n % 4 == 0
        other = next(v for v in item.keys.values() if v not in (item.expected, CANNOT_TELL))
        add_verdict(run, "ann", item, other if wrong else item.expected, 1.0)
    stated = agreement(run, sure)["calibration"]
    assert (stated["n"], stated["stated"], stated["observed"]) == (60, pytest.approx(0.725), 0.75)
    assert stated["brier"] == pytest.approx(0.25 * 0.2**2 + 0.75 * 0.1**2)
    assert agreement(run, [replace(i, confidence=None) for i in sure])["calibration"]["n"] == 0
