"""Attention of an eval run's responses, and eval runs side by side."""

import json
from pathlib import Path

import pytest

from avcurate.demo.table import table
from avcurate.errors import UserError
from avcurate.maam.traces import masked_as
from avcurate.runner.rundir import RunDir
from avcurate.tasks.evaluate.attention import AttendJob, _means, run_attend
from avcurate.tasks.evaluate.summary import read_eval, summarise_eval
from tests import running


def test_quarters_by_hand():
    means = _means([[0.1, 0.2, 0.3, 0.4], [0.5] * 8, [0.9]])
    assert means["quarters"] == pytest.approx([(0.1 + 0.5 + 0.9) / 3, 0.35, 0.4, 0.45])
    assert means["all"] == pytest.approx((0.25 + 0.5 + 0.9) / 3)
    assert _means([]) == {"all": None, "quarters": [None] * 4}


@pytest.fixture(scope="module")
def asked(world, tmp_path_factory):
    folder, _ = world
    runs = {}
    for name, options in (("plain", {}), ("masked", {"maam": "inner+open_tag"})):
        run = tmp_path_factory.mktemp(name) / "run"
        changes = {"annotations": folder / "benchmark.json", "media": folder / "clips", "conditions": "a,av"}
        running.run("eval", run, {**changes, "n": 1, "run.limit": 24, **options})
        runs[name] = run
    return runs


@pytest.mark.slow
def test_responses_without_a_picture_pay_no_attention_to_it(asked):
    both = run_attend(AttendJob(asked["plain"], limit=12))
    assert both["responses"] == 12 and both["skipped"] == 0
    for modality in ("audio", "video"):
        assert 0 < both[modality]["all"] < 1 and all(0 < q < 1 for q in both[modality]["quarters"])
    deaf = run_attend(AttendJob(asked["plain"], condition="a", limit=12))
    assert deaf["video"]["all"] == 0 and deaf["audio"]["all"] > 0
    assert json.loads((asked["plain"] / "attention.json").read_text()) == deaf
    with pytest.raises(UserError, match="did not ask under"):
        run_attend(AttendJob(asked["plain"], condition="v"))


@pytest.mark.slow
def test_a_forced_pem_is_read_once_and_swapped_clips_are_found(world, tmp_path, monkeypatch):
    folder, items = world
    names = sorted({i.clip.name for i in items[:12]})
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"clip": f"{a}.mp4", "donor": f"{b}.mp4"} for a, b in zip(names, names[1:] + names[:1], strict=True)]
    pairs.write_text("".join(json.dumps(x) + "\n" for x in rows))
    running.run("swap", tmp_path / "swap", {"pairs": pairs, "media": folder / "clips"})
    changes = {"annotations": folder / "benchmark.json", "media": folder / "clips", "conditions": "av,av+Audio"}
    running.run("eval", tmp_path / "run", {**changes, "n": 1, "run.limit": 12, "swapped": tmp_path / "swap"})
    texts_read = []
    from avcurate.train.omni import Omni

    plain = Omni.forward

    def spy(self, model, requests, completions, mask, *rest):
        texts_read.extend(
            r.prefix + self.decode(c[: int(m.sum())].tolist())
            for r, c, m in zip(requests, completions, mask, strict=True)
        )
        return plain(self, model, requests, completions, mask, *rest)

    monkeypatch.setattr(Omni, "forward", spy)
    result = run_attend(AttendJob(tmp_path / "run", condition="av+Audio", limit=4))
    assert result["responses"] == 4 and result["skipped"] == 0
    assert len(texts_read) == 8 and all(
        text.count("<mod>") == 1 and text.startswith("<mod>Audio</mod>") for text in texts_read
    ), texts_read
    # attention under another condition is not reported for the answers
    (row,) = table({"x": [tmp_path / "run"]}, folder / "truth.jsonl")
    assert "audio_1" not in row
    for clip in (tmp_path / "swap").rglob("*.mp4"):
        clip.unlink()
    with pytest.raises(UserError, match="can be reread"):
        run_attend(AttendJob(tmp_path / "run", limit=4))


@pytest.mark.slow
def test_maam_changes_answers_and_malformed_responses_are_counted(asked):
    plain, masked = (read_eval(RunDir(asked[n]))["av"] for n in ("plain", "masked"))
    assert [a.question_id for a in plain] == [a.question_id for a in masked]
    run = RunDir(asked["masked"])
    texts = [
        t
        for x in run.parts("eval").rows(columns=["asked"])
        for r in x.to_pylist()
        for a in r["asked"]
        if a["condition"] == "av"
        for t in a["texts"]
    ]
    asked_columns = [
        [r["asked"] for x in RunDir(asked[n]).parts("eval").rows(columns=["asked"]) for r in x.to_pylist()]
        for n in asked
    ]
    assert asked_columns[0] != asked_columns[1]
    rates = summarise_eval(run)["conditions"]["av"]["masks"]
    assert sum(rates.values()) == pytest.approx(1)
    assert rates["whole"] == pytest.approx(sum(masked_as(t) == "whole" for t in texts) / len(texts))
    assert "masks" not in summarise_eval(RunDir(asked["plain"]))["conditions"]["av"]


def test_engines_and_prompts_without_the_mask_are_refused(world, tmp_path):
    folder, _ = world
    for over, message in (
        ({"model.engine": "server", "model.urls": ["http://127.0.0.1:9/v1"]}, "'server' cannot decode under MAAM"),
        ({"prompt": "cot"}, "masks separate-then-fuse"),
    ):
        changes = {"annotations": folder / "benchmark.json", "media": folder / "clips", "maam": "span", **over}
        with pytest.raises(UserError, match=message):
            running.run("eval", tmp_path / "r", changes)


@pytest.mark.slow
def test_the_table_matches_a_count_by_hand(asked, world):
    folder, items = world
    (row,) = table({"x": [asked["plain"]]}, folder / "truth.jsonl")
    answered = read_eval(RunDir(asked["plain"]))["av"]
    assert row["runs"] == 1 and row["answers"]["mean"] == pytest.approx(sum(a.score for a in answered) / len(answered))
    truths = [i.truth() for i in items[:24]]
    is_hard = [t["conflict"] and t["type"] in ("object_count", "sound_count") for t in truths]
    scores = [a.score for a, h in zip(answered, is_hard, strict=True) if h]
    assert scores and row["conflict"]["mean"] == pytest.approx(sum(scores) / len(scores))
    both = table({"x": [asked["plain"], asked["masked"]]}, folder / "truth.jsonl")[0]
    assert both["runs"] == 2 and both["answers"]["sd"] is not None
    other = Path(asked["plain"]).parent / "truth.jsonl"
    other.write_text((folder / "truth.jsonl").read_text().replace("demo_101_", "demo_102_"))
    with pytest.raises(UserError, match="has no entry for"):
        table({"x": [asked["plain"]]}, other)
