"""Digests are of the bytes that a file has now, and those of large files outlive the process."""

import hashlib
import os

import pytest

from avcurate.store import digest
from avcurate.store.digest import file_digest, intact


@pytest.fixture
def hashed(tmp_path, monkeypatch):
    """Names of the files whose bytes are read; every file is large, and the cache is the test's own."""
    names = []

    def counted(path):
        names.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digest, "sha256", counted)
    monkeypatch.setattr(digest, "LARGE", 0)
    monkeypatch.setattr(digest, "_in_process", {})
    return names


def of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def new_process(monkeypatch):
    monkeypatch.setattr(digest, "_in_process", {})


def test_a_file_is_read_again_only_when_it_changed(tmp_path, hashed):
    file = tmp_path / "a"
    file.write_bytes(b"one")
    assert file_digest(file) == file_digest(file) == of(b"one") and hashed == ["a"]
    file.write_bytes(b"two")
    os.utime(file, (1, 1))
    assert file_digest(file) == of(b"two") and hashed == ["a", "a"]
    assert intact(file, of(b"two")) and not intact(file, of(b"one")) and not intact(tmp_path / "b", of(b"two"))


def test_the_next_process_reads_no_large_file_that_did_not_change(tmp_path, hashed, monkeypatch):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"one")
    b.write_bytes(b"two")
    assert [file_digest(a), file_digest(b)] == [of(b"one"), of(b"two")]
    new_process(monkeypatch)
    assert [file_digest(a), file_digest(b)] == [of(b"one"), of(b"two")] and hashed == ["a", "b"]
    a.write_bytes(b"longer")
    new_process(monkeypatch)
    assert file_digest(a) == of(b"longer") and hashed == ["a", "b", "a"]
    new_process(monkeypatch)
    assert [file_digest(a), file_digest(b)] == [of(b"longer"), of(b"two")] and hashed == ["a", "b", "a"]


def test_small_files_are_not_cached_across_processes(tmp_path, hashed, monkeypatch):
    monkeypatch.setattr(digest, "LARGE", 4)
    (tmp_path / "a").write_bytes(b"one")
    file_digest(tmp_path / "a")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_a_damaged_cache_is_replaced(tmp_path, hashed, monkeypatch, damaged):
    cache = tmp_path / "cache/avcurate/digests.json"
    cache.parent.mkdir(parents=True)
    cache.write_bytes(damaged)
    (tmp_path / "a").write_bytes(b"one")
    assert file_digest(tmp_path / "a") == of(b"one")
    new_process(monkeypatch)
    assert file_digest(tmp_path / "a") == of(b"one") and hashed == ["a"]


def test_without_a_place_for_the_cache_files_are_hashed_all_the_same(tmp_path, hashed):
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "a").write_bytes(b"one")
    assert file_digest(tmp_path / "a") == of(b"one")
