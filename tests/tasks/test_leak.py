"""Which questions are answered without what they claim to need: scripted answers, and the demo world's truth."""

import json

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.engines.base import Engine, Perception, Reply, Response
from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from tests import running

pytest.importorskip("sklearn")


class Knows(Engine):
    """Answers rightly where what it is shown includes one of the things it needs."""

    name = "knows"
    perceives = False

    def __init__(self, needs):
        self.needs, self.seen = needs, set()

    def identity(self):
        return {"engine": self.name}

    def setup(self):
        pass

    def perceive(self, request):
        return Perception(-1, -1, -1)

    def generate(self, source):
        while (r := source.take(wait=True)) is not None:
            shown = frozenset(
                name for name, there in (("sound", r.audio is not None), ("picture", r.frames is not None)) if there
            )
            self.seen.add((r.key.split("/")[1], shown))
            word = next(w for w in self.needs if w in r.prompt)
            right = any(set(need) <= shown for need in self.needs[word])
            text = f"<answer>{'red' if right else 'blue'}</answer>"
            yield Reply(r.key, tuple(Response(r.seed + i, text, "stop", 1) for i in range(r.n)), -1, -1, -1)


NEEDS = {
    "blind": [()],
    "heard": [("sound",)],
    "seen": [("picture",)],
    "either": [("sound",), ("picture",)],
    "both": [("sound", "picture")],
}


@pytest.fixture
def questions(world, tmp_path):
    folder, items = world
    rows = [
        {
            "id": f"{word} {claim}",
            "video_name": items[0].clip.name,
            "question_text": f"{word} {claim}?",
            "multi_choice": ["red", "blue"],
            "answer": 0,
            "question_relation": claim,
        }
        for word in NEEDS
        for claim in ("Sound", "View", "Both", None)
    ]
    (tmp_path / "qa.json").write_text(json.dumps(rows))
    return {"annotations": tmp_path / "qa.json", "media": folder / "clips", "n": 2, "folds": 2}


def test_each_question_is_asked_alone_and_under_each_modality_and_judged_by_its_claim(questions, tmp_path):
    engine = Knows(NEEDS)
    running.run("leak", tmp_path / "r", questions, engine=engine)
    assert engine.seen == {
        ("t", frozenset()),
        ("a", frozenset({"sound"})),
        ("v", frozenset({"picture"})),
        ("av", frozenset({"sound", "picture"})),
    }
    rows = {r["source_id"]: r for r in running.rows_of(RunDir(tmp_path / "r"), "leak")}
    solved = {w: rows[f"{w} Both"]["solved_by"] for w in NEEDS}
    assert solved == {
        "blind": ["t", "a", "v", "av"], "heard": ["a", "av"], "seen": ["v", "av"],
        "either": ["a", "v", "av"], "both": ["av"],
    }  # fmt: skip
    needs = {name for name, r in rows.items() if r["needs_it"]}
    assert needs == {
        # what sound decides needs sound; what either decides does not; without a claim only the blind ones leak
        *("heard Sound", "seen View", "both Sound", "both View", "both Both"),
        *("heard None", "seen None", "either None", "both None"),
    }
    subset = [json.loads(x) for x in (tmp_path / "r/subset.jsonl").open()]
    assert {r["id"] for r in subset} == needs and subset[0].keys() == {
        "id", "video_name", "question_text", "multi_choice", "answer", "question_relation",
    }  # fmt: skip
    page = RunDir(tmp_path / "r")
    from avcurate.tasks.leak.task import Leak

    summary = Leak().summarise(page)
    assert [s["questions"] for s in summary["funnel"]] == [20, 16, 8, 4] and summary["subset"] == len(needs)
    assert "Questions that leak most" in Leak().page(page, summary).read_text()


def test_text_alone_needs_neither_model_nor_clips(tmp_path):
    colors = ("red", "blue", "green", "pink")
    rows = [
        {
            "id": i,
            "video_name": f"gone{i}",
            "question_text": f"What is the colour of {('blood', 'sky')[i % 2]}?",
            "multi_choice": list(colors),
            "answer": i % 2,
        }
        for i in range(60)
    ]
    (tmp_path / "qa.json").write_text(json.dumps(rows))
    words = ["leak", str(tmp_path / "qa.json"), "--text-only", "-o", str(tmp_path / "r"), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.exception
    (everything, *_) = json.loads(done.stdout)["groups"]
    assert everything["text_reader"] == 1.0 and everything["chance"] == 0.25 and everything["needs_it"] is None
    # with a threshold for the reader, its certainty is a leak
    running.run(
        "leak", tmp_path / "r2", {"annotations": tmp_path / "qa.json", "text_only": "true", "text_probability": 0.5}
    )
    rows = running.rows_of(RunDir(tmp_path / "r2"), "leak")
    assert all(r["leaks"] == ["text"] and r["needs_it"] is False for r in rows)
    assert (tmp_path / "r2/subset.jsonl").read_text() == ""
    with pytest.raises(UserError, match="--media is missing"):
        running.run("leak", tmp_path / "r3", {"annotations": tmp_path / "qa.json"})


@pytest.mark.slow
def test_on_the_demo_world_every_question_that_text_decides_is_solved_blind(world, tmp_path):
    """And few others: the embedded model was never shown nothing, and then tends to imagine one and the same clip."""
    folder, items = world
    running.run("leak", tmp_path / "r", {"annotations": folder / "benchmark.json", "media": folder / "clips"})
    rows = running.rows_of(RunDir(tmp_path / "r"), "leak")
    evidence = {str(i.number): i.draft.evidence for i in items}
    blind = {r["source_id"] for r in rows if "text" in r["leaks"]}
    text = {n for n, e in evidence.items() if e == "text"}
    assert len(text) >= 4 and text <= blind and len(blind - text) <= 4, (text, blind)
    enough = {"audio": {"sound"}, "visual": {"picture"}, "both": set()}
    known = [r for r in rows if evidence[r["source_id"]] in enough and r["source_id"] not in blind]
    # a guess among four choices may be right six times of eight
    wrong = [r for r in known if not set(r["leaks"]) <= enough[evidence[r["source_id"]]]]
    assert len(known) > 35 and len(wrong) <= 3, wrong
    assert all(r["needs_it"] for r in known if r not in wrong)
