"""Facts beside a file: trusted only while the file has the bytes that were recorded."""

import json
from dataclasses import asdict, dataclass

import pytest

from avcurate.store.made import made_before, record_made


@dataclass(frozen=True)
class Facts:
    seconds: float


@pytest.fixture
def made(tmp_path):
    target, facts = tmp_path / "clip.mp4", tmp_path / "clip.json"
    target.write_bytes(b"as made")
    record_made(facts, target, asdict(Facts(2.5)))
    return facts, target


def test_an_unchanged_file_is_known(made):
    assert made_before(*made, Facts) == Facts(2.5)


def test_anything_else_is_made_again(made, tmp_path):
    facts, target = made
    good = json.loads(facts.read_text())
    for broken in (
        "",
        "{",
        "[]",
        json.dumps(good | {"other": 1}),
        json.dumps({"seconds": 1}),
        json.dumps({"sha256": good["sha256"]}),
    ):
        facts.write_text(broken)
        assert made_before(facts, target, Facts) is None, broken
    facts.write_text(json.dumps(good))
    target.write_bytes(b"changed")
    assert made_before(facts, target, Facts) is None
    target.unlink()
    assert made_before(facts, target, Facts) is None and made_before(tmp_path / "no", target, Facts) is None
