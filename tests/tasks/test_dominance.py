"""Dominance of real clips by an engine whose evidence is known, and of published predictions."""

import json
from collections import Counter

import numpy as np
import pytest

from avcurate.engines.base import Engine, Perception, Reply, Response
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import dead_rows
from avcurate.tasks.dominance.recipe import load_pool
from avcurate.tasks.dominance.summary import summarise_dominance
from tests import running
from tests.conftest import ffmpeg

CLASSES = ("dog", "cat", "train", "rain")


class ByEvidence(Engine):
    """Says ``dog`` where it hears anything, ``cat`` where it only sees, ``train`` where nothing is left."""

    name = "by-evidence"

    def __init__(self, prefers="audio"):
        self.prefers = prefers
        self.prompts = []

    def identity(self):
        return {"engine": self.name, "prefers": self.prefers}

    def setup(self):
        pass

    def answer(self, request):
        heard = request.audio is not None and np.abs(request.audio).max() > 1e-3
        seen = request.frames is not None and request.frames.max() > 0
        order = [("dog", heard), ("cat", seen)]
        word = next((w for w, there in (order if self.prefers == "audio" else order[::-1]) if there), "train")
        options = dict(line.split(". ", 1)[::-1] for line in request.prompt.splitlines() if line[1:3] == ". ")
        return options[word]

    def generate(self, source):
        while (request := source.take(wait=True)) is not None:
            self.prompts.append((request.key, request.prompt))
            responses = tuple(Response(request.seed + i, self.answer(request), "stop", 1) for i in range(request.n))
            tokens = (5 if request.audio is not None else 0, 5 if request.frames is not None else 0)
            first = {"A": -4.0, "B": -4.0, "C": -4.0, "D": -4.0, "Z": -0.1, responses[0].text: -0.25}
            yield Reply(request.key, responses, 9, *tokens, first)

    def perceive(self, request):
        level = 0.0 if request.audio is None else float(np.abs(request.audio * np.arange(len(request.audio))).mean())
        light = 0.0 if request.frames is None else float((request.frames[:, :, : request.frames.shape[2] // 2]).mean())
        tokens = (5 if request.audio is not None else 0, 5 if request.frames is not None else 0)
        return Perception(9, *tokens, {"x": -level, "y": -light})


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    names = [f"clip{i}_{i:06d}" for i in range(4)]
    for i, name in enumerate(names):
        picture, tone = f"testsrc=s=64x48:r=4:d=2,hue=h={i * 60}", f"sine={300 + 100 * i}:d=2"
        ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, str(folder / f"{name}.mp4"))
    rows = [f"{n}.mp4,{CLASSES[i % 2]}" for i, n in enumerate(names)]
    rows += ["gone_000000.mp4,dog", "other_000001.mp4,violin", "broken row"]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder


def run(clips, out, engine, monkeypatch, by="prediction", **changes):
    # this engine is not a model; the canary has its own tests
    for module in ("avcurate.tasks.sampling", "avcurate.scheduler.schedule"):
        monkeypatch.setattr(f"{module}.check_hearing", lambda engine, interleaved: None)
    pool = clips / "four.yaml"
    pool.write_text(json.dumps({"kind": "pool", "name": "four", "classes": CLASSES}))
    changes |= {"clips": clips / "list.csv", "media": clips, "pool": str(pool), "by": by}
    tallies = running.run("dominance", out, changes, engine=engine)
    rows = [r for t in RunDir(out).parts("dominance").rows() for r in t.to_pylist()]
    return tallies, rows


@pytest.mark.parametrize(("prefers", "ablation"), [("audio", "zero"), ("video", "zero"), ("audio", "drop")])
def test_the_modality_that_decides_is_found_and_the_label_plays_no_part(
    clips, tmp_path, monkeypatch, prefers, ablation
):
    tallies, rows = run(clips, tmp_path / "r", ByEvidence(prefers), monkeypatch, ablation=ablation)
    assert [r["dominance"] for r in rows] == [prefers] * 4
    assert all(r[f"{s}_margin"] == 3.75 for r in rows for s in ("a", "v", "av"))
    assert all(r["a_prediction"] == ["dog"] and r["v_prediction"] == ["cat"] for r in rows)
    assert [r["av_hit"] for r in rows] == [(r["answer"] == "dog") == (prefers == "audio") for r in rows]
    ingest = tallies["ingest"]
    assert ingest.dead == {"media_missing": 1, "not_a_clip_row": 1} and ingest.filtered == {"class_not_in_pool": 1}
    summary = summarise_dominance(RunDir(tmp_path / "r"))
    assert summary["dominance"] == {prefers: 4} and summary["disagree"] == 4 and summary["hallucinated"] == 2
    # the dominant clips are questions that other tasks read
    running.ingest(tmp_path / "again", {"annotations": tmp_path / "r/dominant.jsonl", "media": clips})
    questions = running.rows_of(RunDir(tmp_path / "again"), "questions")
    modality, word = {"audio": ("Audio", "dog"), "video": ("Visual", "cat")}[prefers]
    assert len(questions) == 4 and all(q["stated_modality"] == modality and q["answer"] == word for q in questions)
    assert [q["choices"] for q in questions] == [r["choices"] for r in rows]


@pytest.mark.slow
def test_options_are_shuffled_per_clip_and_the_same_in_every_run(clips, tmp_path, monkeypatch):
    engines = [ByEvidence(), ByEvidence(), ByEvidence()]
    for i, engine in enumerate(engines):
        run(clips, tmp_path / str(i), engine, monkeypatch, seed=0 if i < 2 else 1)
    first, again, other = ({k.split("/")[0]: p for k, p in e.prompts} for e in engines)
    assert first == again and len(set(first.values())) > 1
    assert set(first.values()) != set(other.values())


def test_a_majority_is_stored_with_its_share(clips, tmp_path, monkeypatch):
    class Wavering(ByEvidence):
        def generate(self, source):
            for reply in super().generate(source):
                spoilt = Response(reply.responses[-1].seed, "no idea", "stop", 1)
                yield Reply(reply.key, (*reply.responses[:-1], spoilt), 9, 5, 5)

    _, rows = run(clips, tmp_path / "r", Wavering(), monkeypatch, n=4)
    assert all(r["dominance"] == "audio" and r["a_vote"] == 0.75 for r in rows)
    assert all(r["vote_confidence"] == pytest.approx(0.75**3) for r in rows)


def test_ties_and_unreadable_answers_decide_nothing(clips, tmp_path, monkeypatch):
    class Torn(ByEvidence):
        def generate(self, source):
            for reply in super().generate(source):
                torn = [Response(r.seed, "AB"[i % 2], "stop", 1) for i, r in enumerate(reply.responses)]
                texts = torn if "/v/" in reply.key else reply.responses
                yield Reply(reply.key, tuple(texts), 9, reply.audio_tokens, reply.video_tokens)

    for by in ("prediction", "correctness"):
        _, rows = run(clips, tmp_path / by, Torn(), monkeypatch, by=by, n=4)
        assert all(r["dominance"] is None and r["dominance_reason"] == "no_majority" for r in rows)
        assert all(r["vote_confidence"] is None and len(r["a_responses"]) == 4 for r in rows)
        assert summarise_dominance(RunDir(tmp_path / by))["disagree"] == 0


@pytest.mark.slow
def test_replayed_predictions_match_a_plain_count(shared, tmp_path):
    file = shared / "predictions/vggsounder_gemini-1.5-pro.jsonl"
    labels = shared / "annotations/vggsounder_0.1.6.csv"
    running.run("dominance", tmp_path / "r", {"replay": file, "labels": labels})
    expected = Counter()
    for line in file.read_text().splitlines():
        row = json.loads(line)
        a, v, av = ({x.casefold() for x in row[s]} for s in ("a", "v", "av"))
        if a and v and av and a != v:
            expected["audio" if av == a else "video" if av == v else "none"] += 1
    summary = summarise_dominance(RunDir(tmp_path / "r"))
    assert summary["clips"] == 15357 and summary["labelled"] > 12000
    assert summary["dominance"] == {k: expected[k] for k in ("audio", "video")} and min(expected.values()) > 100
    running.run("dominance", tmp_path / "c", {"replay": file, "labels": labels, "by": "correctness"})
    hits = Counter()
    for table in RunDir(tmp_path / "c").parts("dominance").rows():
        for r in table.to_pylist():
            hits[r["dominance"], r["a_hit"], r["v_hit"], r["av_hit"]] += 1
    assert all(key[1:] in ((True, False, True), (None, None, None)) for key in hits if key[0] == "audio")
    assert sum(n for key, n in hits.items() if key[0] == "audio") > 100


def test_bad_predictions_are_dead_rows_and_single_answers_are_read(tmp_path):
    lines = [
        '{"video_id": "a", "a": "dog", "v": "cat", "av": "dog"}',
        '{"video_id": "b", "a": "dog", "v": "cat", "av": 3}',
        '{"a": "dog"}',
        "{half",
        '{"video_id": "a", "a": "dog", "v": "cat", "av": "cat"}',
        '{"video_id": "c", "a": "", "v": "cat", "av": "cat"}',
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(lines) + "\n")
    tally = running.run("dominance", tmp_path / "r", {"replay": tmp_path / "p.jsonl"})["predictions"]
    assert tally.kept == 2 and tally.dead == {"answer_not_text": 1, "field_missing": 1, "bad_json": 1}
    assert tally.filtered == {"duplicate": 1}
    rows = [r for t in RunDir(tmp_path / "r").parts("dominance").rows() for r in t.to_pylist()]
    assert [(r["clip_id"], r["dominance"], r["dominance_reason"]) for r in rows] == [
        ("a", "audio", None), ("c", None, "unreadable"),
    ]  # fmt: skip
    assert all(r["message"] for r in dead_rows(RunDir(tmp_path / "r")))


def test_pools_are_the_two_lists_of_twenty_from_the_paper():
    people, sports = load_pool("pool-people"), load_pool("pool-sports")
    assert len(people.classes) == len(sports.classes) == 20 and not set(people.classes) & set(sports.classes)


def test_published_letters_are_the_options_they_stand_for(tmp_path):
    """As crossmodal-hub's files have them: lettered options in the question, letters as answers, a label of its own."""
    question = (
        "Classify the sounding object into one of the categories below:\n\nA. dog barking\nB. rain\nC. (big) bell\n"
    )
    rows = [
        {"video_id": "x", "question": question, "a": "B", "v": "A", "av": "(B)", "label": "rain"},
        {
            "video_id": "y",
            "options": ["A. dog barking", "rain"],
            "a": ["a."],
            "v": "B",
            "av": "B",
            "label": "dog barking",
        },
        {"video_id": "z", "a": "B", "v": "A", "av": "B"},
        {"video_id": "w", "options": [1], "a": "B"},
        {"video_id": "u", "question": question, "a": "rain", "v": "C", "av": "C) "},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    tallies = running.run("dominance", tmp_path / "r", {"replay": tmp_path / "p.jsonl"})
    assert tallies["predictions"].dead == {"letter_without_option": 1, "options_not_text": 1}
    found = {r["clip_id"]: r for r in running.rows_of(RunDir(tmp_path / "r"), "dominance")}
    assert (found["x"]["dominance"], found["x"]["av_hit"], found["x"]["a_prediction"]) == ("audio", True, ["rain"])
    assert (found["y"]["dominance"], found["y"]["av_hit"]) == ("video", False)
    assert (found["u"]["dominance"], found["u"]["av_prediction"], found["u"]["av_hit"]) == (
        "video",
        ["(big) bell"],
        None,
    )
    assert summarise_dominance(RunDir(tmp_path / "r"))["hit_rate"]["av"] == 0.5


def test_strict_and_folded_rules_are_counted_apart(tmp_path):
    lines = [
        {"video_id": "a", "a": "dog", "v": "cat", "av": "dog"},
        {"video_id": "b", "a": "Dog", "v": "cat", "av": "dog"},
        {"video_id": "c", "a": "dog", "v": "cat", "av": "The cat."},
        {"video_id": "d", "a": "Dog", "v": "dog", "av": "dog"},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    running.run("dominance", tmp_path / "r", {"replay": tmp_path / "p.jsonl"})
    summary = summarise_dominance(RunDir(tmp_path / "r"))
    assert summary["dominance"] == {"audio": 2, "video": 1}
    # written differently: b and c have three answers, and d's picture "decides"
    assert summary["strict"] == {"audio": 1, "video": 1}
