"""The server answers one browser on this machine, and nothing but what the run's rows name."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from avcurate.runner.rundir import RunDir
from avcurate.store.parts import Commit
from avcurate.tasks.label_pem.view import LABEL_VIEW
from avcurate.viewer.app import make_app
from avcurate.viewer.index import Index
from avcurate.viewer.search import search

TOKEN = "secret-token"


def client(index, *, known=True, host="127.0.0.1:8765"):
    testing = pytest.importorskip("starlette.testclient")
    c = testing.TestClient(make_app(index, TOKEN), base_url=f"http://{host}")
    if known:
        assert c.get(f"/?token={TOKEN}", follow_redirects=False).status_code == 303
    return c


def test_only_a_browser_that_was_given_the_address_is_answered(index):
    known, unknown = client(index), client(index, known=False)
    for path in ("/", "/view.js", "/api/runs", "/api/rows", "/media?key=x", "/?token=wrong", "/?token=", "/?token=é"):
        assert unknown.get(path).status_code == 403, path
    for path in ("/", "/view.js", "/view.css", "/api/runs", "/api/rows"):
        assert known.get(path).status_code == 200, path
    assert known.get("/").headers["content-security-policy"].startswith("default-src 'none'")
    for headers in (
        {"Host": "evil.example:8765"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "http://evil.example"},
    ):
        assert known.get("/api/rows", headers=headers).status_code == 403, headers
    assert known.get("/api/rows", headers={"Origin": "http://127.0.0.1:8765"}).status_code == 200
    assert known.post("/api/rows").status_code == 405
    cookie = client(index, known=False).get(f"/?token={TOKEN}", follow_redirects=False).headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "8765" in cookie


def test_a_clip_its_poster_and_its_waveform(index):
    c, key = client(index), search(index, 0, "state:kept")["rows"][0]["key"]
    whole = c.get("/media", params={"key": key})
    assert whole.status_code == 200 and whole.headers["content-type"] == "video/mp4"
    part = c.get("/media", params={"key": key}, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole.content[10:20]
    assert c.get("/poster", params={"key": key}).content[:3] == b"\xff\xd8\xff"
    peaks = c.get("/api/wave", params={"key": key}).json()
    assert len(peaks) == 240 and 0 < max(peaks) <= 1
    for params in ({"key": "none"}, {"key": key, "clip": "7"}, {"key": key, "run": "3"}):
        assert c.get("/media", params=params).status_code == 404
        assert c.get("/poster", params=params).status_code == 404
        assert c.get("/api/wave", params=params).status_code == 404


def test_faults_are_answered_with_the_next_step(index):
    c = client(index)
    reply = c.get("/api/rows", params={"q": "pam:Audio"})
    assert reply.status_code == 400 and "pem" in reply.json()["hint"]
    for params in ({"limit": "1e9"}, {"offset": "-1"}, {"limit": "٣"}, {"limit": "0", "offset": "999999999"}):
        assert c.get("/api/rows", params=params).status_code == 200
    json.loads(c.get("/api/rows").content, parse_constant=lambda c: pytest.fail(c))


@pytest.mark.parametrize(
    "name", ["../secret.mp4", "/etc/hostname", "..", "clip.m3u8", "http://127.0.0.1/x.mp4", "a\x00b"]
)
def test_a_row_cannot_name_a_file_outside(runs, tmp_path, name):
    shutil.copytree(runs[0].root, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    parts = run.parts("questions")
    table = parts.read(0, columns=pq.read_schema(parts.file(0)).names)
    i = table.schema.get_field_index("media")
    table = table.set_column(i, table.schema.field(i), [[name] * len(table)])
    old = parts.commit_of(0)
    parts.write(Commit(0, len(table), len(table), {}, {}, "", old.fingerprint, key=old.key), {"kept": table})
    for table_of in ("sample", "score", "label"):
        for path in (run.root / table_of).glob("part-*"):
            path.unlink()
    index = Index([(run, LABEL_VIEW)])
    c, key = client(index), search(index, 0, "-state:dead")["rows"][0]["key"]
    assert c.get("/api/row", params={"key": key}).json()["clips"] == []
    assert c.get("/media", params={"key": key}).status_code == 404
