"""Answers graded by meaning, by form and by a judge, from an evaluation that was really run."""

import pytest

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.tasks import TASKS
from tests import running
from tests.attack.cases import Steady, lines
from tests.conftest import CountingEmbedder, ffmpeg

GOOD = "CORRECTNESS: 4 - x\nRELEVANCE: 5 - x\nCOMPLETENESS: 4 - x\nCLARITY: 5 - x\nOVERALL: 4 - x"
PRO = {"answer": "a drum", "category": "sound", "task_identifier": None, "kwargs": None}


@pytest.fixture
def media(tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for name in "abcde":
        ffmpeg("-f", "lavfi", "-i", "sine=440:d=1", str(folder / f"{name}.wav"))
    return folder


def evaluated(folder, media, rows, say):
    file = lines(folder / "qa.jsonl", rows)
    changes = {"annotations": file, "media": media, "conditions": ["a"], "run.part_size": 2}
    running.run("eval", folder / "eval", changes, engine=Steady(say, broken=False))
    return folder / "eval"


def graded(folder, evaluation, judge=None, **changes):
    parts = {"embedder": CountingEmbedder()} | ({"engine": judge} if judge else {})
    tallies = running.run("grade", folder, {"evaluation": evaluation, **changes}, **parts)
    return tallies["grade"], TASKS.get("grade")().summarise(RunDir(folder))


def test_mmau_pro_is_scored_by_meaning_by_form_and_by_a_judge(tmp_path, media):
    rows = [
        {"question": "Which?", "audio_path": "a.wav", "choices": ["a loud drum", "a flute"], **PRO},
        {"question": "Which?", "audio_path": "b.wav", "choices": ["a flute", "a drum"], **PRO},
        {"question": "Describe it.", "audio_path": "c.wav", "choices": None, **PRO, "category": "open"},
        {
            "question": "In one sentence?",
            "audio_path": "d.wav",
            "choices": None,
            **PRO,
            "category": "instruction following",
            "task_identifier": "Number Words (at most)",
            "kwargs": {"N": 4, "keyword": None},
        },
        {"question": "Compare.", "audio_path": ["a.wav", "b.wav"], "choices": ["x", "y"], **PRO},
        {"question": "Broken?", "audio_path": "e.wav", "choices": ["a flute", "a drum"], **PRO},
    ]
    rows[0]["answer"] = "a loud drum"
    (media / "e.wav").write_bytes(b"\x00" * 4000)
    run = evaluated(tmp_path, media, rows, lambda r: "<think>hm</think><answer>it is a drum</answer>")
    tally, summary = graded(tmp_path / "none", run)
    assert tally.filtered == {"needs_a_judge": 1} and tally.kept == 3
    judge = Steady(lambda r: GOOD, broken=False)
    tally, summary = graded(tmp_path / "judged", run, judge)
    assert (tally.kept, judge.asked) == (4, 1)
    measures = summary["conditions"]["a"]
    scores = {c["category"]: (c["kinds"], c["questions"], round(c["score"], 3)) for c in measures["categories"]}
    assert scores == {
        "sound": (["closed"], 3, round(2 / 3, 3)),
        "open": (["open"], 1, 0.8),
        "instruction following": (["instruction"], 1, 1.0),
    }
    # the clip that cannot be read stays in the denominator, as a wrong answer; releases leave it out
    assert measures["lost"] == 1 and measures["questions"] == 5
    assert measures["score"] == pytest.approx((2 + 0.8 + 1) / 5)
    assert measures["as_released"] == pytest.approx((2 + 0.8 + 1) / 4)


def test_a_rating_that_cannot_be_read_scores_nothing_here_and_three_of_five_in_the_release(tmp_path, media):
    rows = [{"question": "Describe.", "audio_path": "a.wav", "choices": None, **PRO, "category": "open"}]
    run = evaluated(tmp_path, media, rows, lambda r: "a drum")
    _, summary = graded(tmp_path / "judged", run, Steady(lambda r: "It is fine.", broken=False))
    measures = summary["conditions"]["a"]
    assert (measures["score"], measures["as_released"], measures["unreadable"]) == (0, pytest.approx(0.6), 1)


def test_open_questions_are_judged_by_yes_and_no_with_a_prompt_of_the_users_own(tmp_path, media):
    rows = [{"media": f"{n}.wav", "question": f"Who is {n}?", "answer": "two dogs"} for n in "ab"]
    run = evaluated(tmp_path, media, rows, lambda r: "<answer>2 dogs</answer>")
    seen = []

    def say(request):
        seen.append(request.prompt)
        return "yes" if "Who is a?" in request.prompt else "no"

    prompt = tmp_path / "own.txt"
    prompt.write_text("Same? {question} | {reference} | {answer}")
    tally, summary = graded(tmp_path / "judged", run, Steady(say, broken=False), prompt=str(prompt))
    assert tally.kept == 2 and sorted(seen) == [f"Same? Who is {n}? | two dogs | 2 dogs" for n in "ab"]
    assert summary["rule"] == "same" and summary["conditions"]["a"]["score"] == 0.5
    with pytest.raises(UserError, match="reference"):
        graded(tmp_path / "x", run, Steady(say), prompt="Same? {question} {answer}")


def test_what_is_graded_must_be_a_finished_evaluation(tmp_path, media):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError):
        graded(tmp_path / "graded", tmp_path / "empty")


def test_an_instruction_without_a_rule_is_a_dead_row(tmp_path, media):
    rows = [{"question": "Sing.", "audio_path": "a.wav", "choices": None, **PRO, "task_identifier": "Sing it"}]
    run = evaluated(tmp_path, media, rows, lambda r: "la")
    tally, _ = graded(tmp_path / "graded", run, Steady(lambda r: GOOD, broken=False))
    assert tally.dead == {"unknown_instruction": 1}
