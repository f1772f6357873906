"""Clips behind an address: listed once, fetched once each, and never opened by a decoder over the network."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import fsspec
import pytest
from pydantic import TypeAdapter, ValidationError

from avcurate.errors import MediaError, UserError
from avcurate.media import remote
from avcurate.media.decode import DecodeSpec, decode
from avcurate.media.folder import MediaFolder
from avcurate.recipe import MediaPath
from avcurate.runner.rundir import RunDir
from tests import running
from tests.conftest import CountingEmbedder, write_questions
from tests.scheduler.test_early_exit import Chancy

SPEC = DecodeSpec(max_frames=8, max_pixels=64 * 64)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCURATE_MEDIA_CACHE", str(tmp_path / "cache"))
    remote._listed.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def bucket(cached, tiny_clip):
    """A folder of clips in fsspec's own store in memory."""
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/clips/clip.mp4", tiny_clip.read_bytes())
    store.pipe("/bucket/clips/in/deep.mp4", tiny_clip.read_bytes())
    yield "memory://bucket/clips"
    store.rm("/bucket", recursive=True)


def folder_of(address):
    return TypeAdapter(MediaPath).validate_python(address)


def test_an_address_is_a_folder_that_says_which(cached):
    for address in ("s3://bucket/clips", Path("s3://bucket/clips"), "s3://bucket/clips/"):
        assert folder_of(address) == cached / "s3/bucket/clips"
    assert remote.address_of(cached / "hf/datasets/a/b/c.mp4") == "hf://datasets/a/b/c.mp4"
    assert remote.address_of(Path("/clips/c.mp4")) is None and folder_of("clips") == Path("clips")
    with pytest.raises(ValidationError, match="no name or password"):
        folder_of("sftp://me:secret@host/clips")
    with pytest.raises(ValidationError, match=r"no '\.\.'"):
        folder_of("s3://bucket/../../etc")
    # no other scheme is an address: it is a folder that is not there
    assert folder_of("file:///etc") == Path("file:///etc") and remote.address_of(Path("file:///etc")) is None


def test_clips_are_listed_and_fetched_when_they_are_opened(bucket, cached, tiny_clip):
    folder = MediaFolder(folder_of(bucket))
    assert folder.find("clip") == "clip.mp4" and folder.find("in/deep") == "in/deep.mp4"
    with pytest.raises(MediaError, match="no file for"):
        folder.find("absent")
    with pytest.raises(MediaError, match="leaves the media folder"):
        folder.find("../clips/clip.mp4")
    assert not list(cached.rglob("*.mp4"))
    clip = decode(folder.root / "clip.mp4", SPEC)
    assert clip.sha256 == decode(tiny_clip, SPEC).sha256
    assert [p.name for p in cached.rglob("*") if p.is_file()] == ["clip.mp4"]
    with pytest.raises(MediaError) as large:
        decode(folder.root / "in/deep.mp4", DecodeSpec(max_bytes=1000))
    assert large.value.reason == "media_too_large" and not (folder.root / "in/deep.mp4").exists()
    # it is there now, whatever becomes of the original
    fsspec.filesystem("memory").rm("/bucket/clips/clip.mp4")
    assert decode(folder.root / "clip.mp4", SPEC).sha256 == clip.sha256
    with pytest.raises(MediaError) as gone:
        decode(folder.root / "in/gone.mp4", SPEC)
    assert gone.value.reason == "media_missing"


def test_a_store_that_fails_is_tried_again_and_then_named(bucket, cached, monkeypatch):
    folder, tries = MediaFolder(folder_of(bucket)), []
    monkeypatch.setattr(remote, "_WAIT_S", 0.001)

    def busy(*_, **__):
        tries.append(1)
        raise ConnectionError("busy")

    monkeypatch.setattr(fsspec, "open", busy)
    with pytest.raises(MediaError) as e:
        decode(folder.root / "clip.mp4", SPEC)
    assert e.value.reason == "media_unreachable" and len(tries) == 4 and "--retry media_unreachable" in e.value.hint
    assert not [p for p in cached.rglob("*") if p.is_file()]


def test_an_address_that_cannot_be_listed_stops_before_anything(cached):
    with pytest.raises(UserError, match="holds no files"):
        MediaFolder(folder_of("memory://nothing"))
    with pytest.raises(UserError, match=r"cannot be|holds no files"):
        MediaFolder(folder_of("http://127.0.0.1:9/clips"))


def test_a_run_on_clips_behind_an_address_is_that_on_the_folder(cached, tmp_path, tiny_clip):
    served = tmp_path / "served/clips"
    served.mkdir(parents=True)
    shutil.copy(tiny_clip, served / "clip.mp4")
    write_questions(tmp_path / "q.json", 12)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rows = {}
    try:
        for name, media in (("near", served), ("far", f"http://127.0.0.1:{server.server_port}/clips")):
            changes = {"annotations": tmp_path / "q.json", "media": str(media), "embedder.tau_cot": -1.0}
            running.run("label-pem", tmp_path / name, changes, engine=Chancy(1), embedder=CountingEmbedder())
            rows[name] = [r for t in RunDir(tmp_path / name).parts("label").rows() for r in t.to_pylist()]
    finally:
        server.shutdown()
    assert len(rows["near"]) == 12 and rows["far"] == rows["near"]
    # resumed without the server
    running.run("label-pem", tmp_path / "far", changes, engine=Chancy(1), embedder=CountingEmbedder())
