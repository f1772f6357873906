"""A table of pairs becomes clips: every pair is made, once, or has a reason."""

import json

import pytest

from avcurate.runner.rundir import RunDir
from avcurate.runner.status import dead_rows
from tests import running
from tests.conftest import ffmpeg


@pytest.fixture
def folder(tmp_path):
    media = tmp_path / "clips"
    media.mkdir()
    for name, hertz in (("a", 300), ("b", 900)):
        picture = ("-f", "lavfi", "-i", f"testsrc=s=64x48:r=10:d=2,hue=h={hertz}")
        ffmpeg(*picture, "-f", "lavfi", "-i", f"sine={hertz}:d=2", str(media / f"{name}.mp4"))
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=2", str(media / "mute.mp4"))
    pairs = [("a", "b"), ("b", "a"), ("mute", "a"), ("a", "mute"), ("a", "a"), ("gone", "a"), ("../x", "a"), ("a", "")]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps({"clip": c, "donor": d}) + "\n" for c, d in pairs))
    return tmp_path


def swap(folder, **changes):
    return running.run("swap", folder / "run", {"pairs": folder / "pairs.jsonl", "media": folder / "clips", **changes})


def rows_of_swap(folder):
    return [r for t in RunDir(folder / "run").parts("swap").rows() for r in t.to_pylist()]


@pytest.mark.slow
def test_every_pair_is_made_or_has_a_reason(folder):
    tally = swap(folder, silent=True)["swap"]
    assert tally.total == 8 and tally.kept == 3
    assert tally.dead == {
        "donor_without_audio": 1,
        "donor_is_the_clip": 1,
        "media_missing": 1,
        "media_name_refused": 1,
        "field_missing": 1,
    }
    rows = rows_of_swap(folder)
    assert [(r["clip"], r["donor"], r["factual"] is None) for r in rows] == [
        ("a.mp4", "b.mp4", False), ("b.mp4", "a.mp4", False), ("mute.mp4", "a.mp4", True),
    ]  # fmt: skip
    for row in rows:
        for kind in ("counterfactual", "factual", "silent"):
            assert row[kind] is None or (folder / "run" / row[kind]).stat().st_size > 1000
    assert all(r["message"] and "avcurate run" in r["reproduce"] for r in dead_rows(RunDir(folder / "run")))


@pytest.mark.slow
def test_a_second_run_rebuilds_nothing(folder):
    swap(folder)
    before = rows_of_swap(folder)
    times = {p: p.stat().st_mtime_ns for p in (folder / "run").rglob("*.m*")}
    assert len(times) == 5
    assert swap(folder)["swap"].kept == 3 and rows_of_swap(folder) == before
    assert times == {p: p.stat().st_mtime_ns for p in (folder / "run").rglob("*.m*")}


def test_dead_rows_are_retried_and_pairs_of_one_clip_share_its_twin(folder):
    pairs = [("a", d) for d in ("b", "late", "b")] * 4
    (folder / "pairs.jsonl").write_text("".join(json.dumps({"clip": c, "donor": d}) + "\n" for c, d in pairs))
    workers = {"run.workers": 4}
    assert swap(folder, **workers)["swap"].dead == {"media_missing": 4}
    assert len(list((folder / "run/factual").glob("*.mp4"))) == 1
    ffmpeg("-f", "lavfi", "-i", "sine=500:d=2", str(folder / "clips/late.wav"))
    assert swap(folder, **workers)["swap"].dead == {"media_missing": 4}
    retried = running.run(
        "swap", folder / "run", {"pairs": folder / "pairs.jsonl", "media": folder / "clips"}, retry=frozenset()
    )
    assert retried["swap"].kept == 12
    assert not list((folder / "run").rglob(".*.tmp"))
