"""Questions asked without their clip, or with another one's: label-pem --blind, and shuffled in eval."""

import json

import pytest

from avcurate.engines.base import Engine, Perception, Reply, Response
from avcurate.errors import UserError
from avcurate.publish.selection import Selection
from avcurate.publish.shards import Form, export_run
from avcurate.runner.rundir import RunDir
from avcurate.tasks.label_pem.relabel import relabel_run
from avcurate.tasks.partners import partners_of
from tests import running
from tests.conftest import CountingEmbedder

NOTHING, SOUND, PICTURE, BOTH = (
    frozenset(),
    frozenset({"sound"}),
    frozenset({"picture"}),
    frozenset({"sound", "picture"}),
)
SOLVED = {
    "heard": {SOUND, BOTH},
    "told": {SOUND, BOTH, NOTHING},
    "trivial": {SOUND, PICTURE, BOTH, NOTHING},
    "never": set(),
}


class Exact(Engine):
    """Answers rightly where exactly that is shown; under ``shuffled`` as if nothing were."""

    name = "exact"
    perceives = False

    def __init__(self):
        self.asked = []

    def identity(self):
        return {"engine": self.name}

    def setup(self):
        pass

    def perceive(self, request):
        return Perception(-1, -1, -1)

    def generate(self, source):
        while (r := source.take(wait=True)) is not None:
            shown = {name for name, there in (("sound", r.audio), ("picture", r.frames)) if there is not None}
            condition = r.key.split("/")[1]
            self.asked.append((condition, r.media_id, r.n))
            word = next(w for w in SOLVED if w in r.prompt)
            right = frozenset(() if condition == "shuffled" else shown) in SOLVED[word]
            text = f"<think>I see and hear it</think><answer>{'red' if right else 'blue'}</answer>"
            yield Reply(r.key, tuple(Response(r.seed + i, text, "stop", 1) for i in range(r.n)), -1, -1, -1)


@pytest.fixture
def inputs(tmp_path, tiny_clip):
    media = tmp_path / "clips"
    media.mkdir()
    rows = []
    for i, word in enumerate(SOLVED):
        (media / f"{i}.mp4").write_bytes(tiny_clip.read_bytes() + bytes([i]))
        rows.append(
            {
                "id": i,
                "video_name": f"{i}.mp4",
                "question_text": f"What is {word}?",
                "multi_choice": ["red", "blue"],
                "answer": 0,
            }
        )
    (tmp_path / "qa.json").write_text(json.dumps(rows))
    return {"annotations": tmp_path / "qa.json", "media": media}


def labelled(out, inputs, **changes):
    engine = Exact()
    running.run("label-pem", out, inputs | changes, engine=engine, embedder=CountingEmbedder())
    rows = running.rows_of(RunDir(out), "label")
    return {r["question"].split()[-1].rstrip("?"): r for r in rows}, engine


@pytest.mark.parametrize("condition", ["text", "shuffled"])
@pytest.mark.parametrize("early", [True, False])
def test_labels_say_what_is_solved_blind(inputs, tmp_path, condition, early):
    rows, engine = labelled(tmp_path / "r", inputs, blind=condition, early_exit=early)
    assert {w: (r["pem"], r["solved_blind"]) for w, r in rows.items()} == {
        "heard": ("Audio", False),
        "told": ("Audio", True),
        "trivial": (None, True),
        # nothing depends on it once AV is not solved
        "never": (None, None if early else False),
    }
    plain, _ = labelled(tmp_path / "plain", inputs, early_exit=early)
    assert {w: r["pem"] for w, r in plain.items()} == {w: r["pem"] for w, r in rows.items()}
    assert "solved_blind" not in next(iter(plain.values()))
    if condition == "shuffled":
        own = {r["media_sha256"] for r in rows.values()}
        pairs = {(c, m) for c, m, _ in engine.asked}
        assert {m for c, m in pairs if c == "shuffled"} <= own and len(pairs) > len(own)


def test_what_is_solved_blind_can_be_left_out_of_an_export_and_survives_other_thresholds(inputs, tmp_path):
    labelled(tmp_path / "r", inputs, blind="text")
    run = RunDir(tmp_path / "r")
    counts = [
        sum(export_run(run, tmp_path / name, Form("parquet"), Selection(0.0, 0.0, 0, drop_blind=drop))["rows"].values())
        for name, drop in (("all", False), ("rest", True))
    ]
    assert counts == [2, 1]
    relabel_run(run, 0.5, None)
    rows = running.rows_of(run, "label")
    assert sorted(r["solved_blind"] is True for r in rows) == [False, False, True, True]
    labelled(tmp_path / "plain", inputs)
    with pytest.raises(UserError, match="without its clip"):
        export_run(RunDir(tmp_path / "plain"), tmp_path / "x", Form("parquet"), Selection(0.0, 0.0, 0, drop_blind=True))


def test_an_evaluation_shows_another_clip(inputs, tmp_path):
    engine = Exact()
    asked = {"conditions": "av,shuffled,t", "prompt": "cot@1", "n": 1}
    running.run("eval", tmp_path / "r", inputs | asked, engine=engine)
    rows = running.rows_of(RunDir(tmp_path / "r"), "eval")
    own = {r["question_id"]: r["media_sha256"] for r in rows}
    partner = {r["question_id"]: r["other_media"] for r in rows}
    assert len(rows) == 4 and all(r["other_media"] != r["media"] for r in rows)
    assert set(partner.values()) == {r["media"] for r in rows}
    right = {r["question"].split()[-1]: {a["condition"]: a["correct"][0] for a in r["asked"]} for r in rows}
    assert right["told?"] == {"av": True, "shuffled": True, "t": True} and not right["heard?"]["shuffled"]
    assert {m for c, m, _ in engine.asked if c == "shuffled"} == set(own.values())


def test_partners_are_of_other_files_and_a_single_file_has_none():
    clips = [("a", None, None), ("a", 2.0, 4.0), ("b", None, None), ("c", 1.0, 2.0)]
    partner = partners_of(clips, 3)
    assert all(one[0] != other[0] for one, other in partner.items()) and partner == partners_of(clips[::-1], 3) | {
        ("a", None, None): partner["a", None, None],
        ("a", 2.0, 4.0): partner["a", 2.0, 4.0],
        **{k: v for k, v in partner.items() if v[0] == "a"},
    }
    with pytest.raises(UserError, match="the same file"):
        partners_of(clips[:2], 0)


def test_probes_do_not_take_it(inputs, tmp_path):
    with pytest.raises(UserError, match="its own clip"):
        running.run("probe-attention", tmp_path / "p", inputs | {"conditions": "av,shuffled"})
