"""A sealed folder holds exactly the files that its list names, with the bytes that it had then."""

import json

import pytest

from avcurate.store.manifest import MANIFEST, seal, sealed, wrong_files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model/deep").mkdir(parents=True)
    (tmp_path / "model/a").write_text("a")
    (tmp_path / "model/deep/b").write_text("b")
    assert not sealed(tmp_path / "model")
    seal(tmp_path / "model")
    return tmp_path / "model"


def test_a_sealed_folder_has_nothing_wrong(folder):
    assert sealed(folder) and wrong_files(folder) == []


def test_each_file_that_is_changed_missing_or_unlisted_is_named(folder):
    (folder / "a").write_text("x")
    (folder / "deep/b").unlink()
    (folder / "deep/c").write_text("c")
    assert dict(wrong_files(folder)) == {
        "a": "its bytes differ from those recorded.",
        "deep/b": "is missing, or not a file.",
        "deep/c": "is not in the list of files.",
    }


def test_what_a_list_names_must_be_a_file_inside(folder, tmp_path):
    (tmp_path / "secret").write_text("secret")
    listed = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**listed, "deep": "00", "../secret": "00"}))
    assert dict(wrong_files(folder)) == {
        "deep": "is missing, or not a file.",
        "../secret": "lies outside the folder that lists it, and was not checked.",
    }


@pytest.mark.parametrize("damaged", [None, b"", b"[]", b"\xff"])
def test_a_list_that_cannot_be_read_is_itself_what_is_wrong(folder, damaged):
    (folder / MANIFEST).unlink()
    if damaged is not None:
        (folder / MANIFEST).write_bytes(damaged)
    assert [name for name, _ in wrong_files(folder)] == [MANIFEST]
