"""Blind review: in a browser by keyboard, hostile requests refused, verdicts as columns, κ by hand."""

import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest

from avcurate.errors import UserError
from avcurate.review.items import PAIR_KEYS, load_items
from avcurate.review.server import make_server
from avcurate.review.verdicts import add_verdict, agreement, export_verdicts, read_verdicts
from avcurate.runner.rundir import RunDir
from tests.report.browser import chromium
from tests.tasks.test_audit import swapped  # noqa: F401


@contextmanager
def serving(run, items, reviewer):
    server, url = make_server(run, items, reviewer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()


def ask(url, body=None, headers=None):
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.read(), dict(reply.headers)
    except urllib.error.HTTPError as e:
        return e.code, e.read(), dict(e.headers)


@pytest.fixture
def run(swapped, tmp_path):  # noqa: F811
    import shutil

    shutil.copytree(swapped.root, tmp_path / "run")
    return RunDir(tmp_path / "run")


def test_the_page_never_learns_what_is_expected(run):
    items = load_items(run, 0, seed=0)
    assert len(items) == 2 and {i.expected for i in items} <= set(PAIR_KEYS.values())
    shown = {seed: tuple(i.media.parent.name for i in load_items(run, 0, seed)) for seed in range(12)}
    assert len(set(shown.values())) > 1 and load_items(run, 0, 3) == load_items(run, 0, 3)
    with serving(run, items, "ann") as url:
        replies = [ask(f"{url}item/0"), ask(url)]
        assert all(b"counterfactual" not in body and b"expected" not in body for _, body, _ in replies)
        assert ask(f"{url}clip/0", headers={"Range": "bytes=0-9"})[0] == 206
        assert len(ask(f"{url}clip/0")[1]) == items[0].media.stat().st_size
        assert "default-src 'none'" in replies[1][2]["Content-Security-Policy"]


def test_anything_but_a_verdict_is_refused(run):
    items = load_items(run, 0, 0)
    with serving(run, items, "ann") as url:
        host = url.rsplit("/", 2)[0]
        for path in ("", "item/0", "wrong/item/0", "../../etc/passwd"):
            assert ask(f"{host}/{path}")[0] == 404
        for path in ("item/9", "item/-1", "item/x", "clip/0/../../run.json", "verdict/0"):
            assert ask(f"{url}{path}")[0] == 404
        for body in ({}, {"key": "z", "seconds": 1}, {"key": "y", "seconds": "x"}, [], "y" * 9000):
            assert ask(f"{url}verdict/0", body)[0] in (400, 404)
        assert not (run.root / "review").exists()
    with pytest.raises(UserError, match="is not a reviewer's name"):
        make_server(run, items, "../ann")


def test_verdicts_survive_a_crash_become_columns_and_are_compared(run):
    items = load_items(run, 0, 0)
    for item in items:
        add_verdict(run, "ann", item, item.expected, 1.0)
    add_verdict(run, "bob", items[0], "cannot tell", 2.0)
    add_verdict(run, "bob", items[0], items[0].expected, 2.0)
    add_verdict(run, "bob", items[1], "cannot tell", 2.0)
    with (run.root / "review/bob.jsonl").open("a") as f:
        f.write('{"item": "cut o')
    assert read_verdicts(run)["bob"][items[0].id]["verdict"] == items[0].expected
    table = pq.read_table(export_verdicts(run)).to_pylist()
    assert {r["item"]: r["verdict_ann"] for r in table} == {i.id: i.expected for i in items}
    assert {r["verdict_bob"] for r in table} == {"cannot tell", items[0].expected}
    result = agreement(run)
    assert result["reviewers"]["ann"]["agree"] == 1 and result["reviewers"]["ann"]["rejected"] == []
    assert result["reviewers"]["bob"]["rejected"] == [items[1].id] and result["between"]["ann, bob"]["agree"] == 0.5
    with serving(run, items, "bob") as url:
        assert ask(f"{url}item/0")[0] == 404


@pytest.mark.slow
def test_a_person_reviews_by_keyboard(run):
    items = load_items(run, 0, 0)
    with serving(run, items, "carl") as url, chromium() as browser:
        from selenium.webdriver.common.keys import Keys

        browser.get(url)
        for key in "yn":
            deadline = time.monotonic() + 20
            while not browser.find_elements("css selector", "#keys button"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            before = browser.find_element("id", "left").text
            browser.find_element("css selector", "body").send_keys(Keys.SPACE)
            browser.find_element("css selector", "body").send_keys(key)
            while browser.find_element("id", "left").text == before:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert "Done" in browser.find_element("id", "left").text
        assert not [e for e in browser.get_log("browser") if e["level"] == "SEVERE" and "item/2" not in e["message"]]
    verdicts = read_verdicts(run)["carl"]
    assert [verdicts[i.id]["verdict"] for i in items] == ["as described", "something else"]


def test_a_torn_line_costs_no_later_verdict(run):
    items = load_items(run, 0, 0)
    (run.root / "review").mkdir()
    (run.root / "review/ann.jsonl").write_text('{"item": "cut o')
    add_verdict(run, "ann", items[0], items[0].expected, 1.0)
    assert list(read_verdicts(run)["ann"]) == [items[0].id]
