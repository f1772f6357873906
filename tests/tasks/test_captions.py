"""Captions of real clips by the embedded model: three settings, one file each, read by hallucination."""

import json

import pytest

from avcurate.runner.rundir import RunDir
from avcurate.tasks.hallucination.summary import summarise_hallucination
from tests import running

pytest.importorskip("torch")


@pytest.mark.slow
def test_clips_are_described_under_each_setting_by_a_real_model(world, tmp_path):
    folder, items = world
    names = sorted({i.clip.name for i in items})[:6]
    rows = ["clip,label", *[f"{n}.mp4,dog barking" for n in names], "gone.mp4,dog barking", ",dog"]
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    changes = {"clips": tmp_path / "clips.csv", "media": folder / "clips", "model.model": "embedded", "n": 2}
    changes |= {"sampling.temperature": 1.0, "sampling.max_tokens": 24}
    tallies = running.run("caption", tmp_path / "run", changes)
    assert tallies["ingest"].dead == {"media_missing": 1, "field_empty": 1} and tallies["sample"].kept == 6
    lines = {
        s: [json.loads(x) for x in (tmp_path / f"run/captions/{s}.jsonl").read_text().splitlines()]
        for s in ("a", "v", "av")
    }
    for setting, captions in lines.items():
        assert len(captions) == 12 and {x["clip"] for x in captions} == set(names)
        assert all(x["setting"] == setting for x in captions)
    assert any(x["caption"] for x in lines["av"])

    changes = {"captions": tmp_path / "run/captions/av.jsonl", "columns": {"objects": "labels"}}
    tally = running.run("hallucination", tmp_path / "scored", changes)["hallucination"]
    assert tally.total == 12 and tally.kept + sum(tally.dead.values()) == 12
    assert summarise_hallucination(RunDir(tmp_path / "scored"))["captions"] == tally.kept
