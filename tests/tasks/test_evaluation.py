"""Evaluation of the embedded model with known truth and of scripts, resumed, and compared with another run."""

import json

import pytest

from avcurate.errors import RecipeChanged, UserError
from avcurate.metrics.evaluation import AVH, MIS, VAH
from avcurate.runner.rundir import RunDir
from avcurate.tasks.evaluate.page import write_evaluation
from avcurate.tasks.evaluate.summary import compare_runs, read_eval, summarise_eval
from tests import running

FORCED = ("av+Audio", "av+Visual", "av+Audio-Visual")


@pytest.fixture(scope="module")
def benchmark(tiny_clip, tmp_path_factory):
    """An AVHBench file of 12 questions on one clip, and a script that answers them."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "clips").mkdir()
    rows, script = [], []
    for i in range(12):
        (folder / "clips" / f"{i:05d}.mp4").symlink_to(tiny_clip)
        rows.append(
            {"video_id": f"{i:05d}", "task": (VAH, AVH, MIS)[i % 3], "text": f"Is {i}?", "label": ("Yes", "No")[i % 2]}
        )
    (folder / "qa.json").write_text(json.dumps(rows))
    from avcurate.sources.formats import read_avhbench

    for i, raw in enumerate(rows):
        q = read_avhbench(raw)
        for condition, text in {
            "a": "No idea." if i == 0 else "Yes, indeed.",
            "v": "<ans>No</ans>",
            "av": f"<mod>Audio</mod><ans>{raw['label']}</ans>",
            "av+Audio": f"<ans>{raw['label'] if i < 6 else 'Yes'}</ans>",
            "av+Visual": "<ans>Yes</ans>",
            "av+Audio-Visual": f"<ans>{raw['label'] if i % 3 == 2 else 'No'}</ans>",
        }.items():
            script.append({"question_id": q.question_id, "setting": condition, "responses": [text]})
    (folder / "script.jsonl").write_text("".join(json.dumps(s) + "\n" for s in script))
    return folder


def evaluate(folder, run, conditions=("a", "v", "av", *FORCED), **over):
    changes = {"annotations": folder / "qa.json", "media": folder / "clips", "conditions": ",".join(conditions)}
    changes |= {"model.engine": "scripted", "model.model": str(folder / "script.jsonl")}
    return running.run("eval", run, changes | over)


def test_conditions_tasks_and_derived_conditions(benchmark, tmp_path):
    tallies = evaluate(benchmark, tmp_path / "r")
    assert tallies["eval"].kept == 12
    measures = summarise_eval(RunDir(tmp_path / "r"))["conditions"]
    assert list(measures) == ["a", "v", "av", *FORCED, "random", "oracle"]
    assert measures["av"]["all"]["accuracy"] == 1 and measures["av"]["avhbench"] == 1
    assert measures["av"]["pem_accuracy"] == pytest.approx(1 / 3)
    a = measures["a"]["all"]
    assert (a["accuracy"], a["unparseable"], a["recall"]) == (5 / 12, 1 / 12, 5 / 6)
    assert measures["av"]["all"]["interval"] == [1, 1]
    # 5 of 12: the binomial's 2.5 and 97.5 per cent points, which the bootstrap of twelve scores matches
    assert a["interval"] == pytest.approx([2 / 12, 8 / 12], abs=0.01)
    assert measures["v"]["all"]["yes_rate"] == 0 and measures["v"]["tasks"][VAH]["accuracy"] == 0.5
    # the oracle asks each task with its own PEM
    by = {name: {x.question_id: x for x in answers} for name, answers in read_eval(RunDir(tmp_path / "r")).items()}
    own = {"Audio": "av+Audio", "Visual": "av+Visual", "Audio-Visual": "av+Audio-Visual"}
    assert all(x.answers == by[own[x.pem]][q].answers for q, x in by["oracle"].items())
    assert all(any(x.answers == by[f][q].answers for f in FORCED) for q, x in by["random"].items())
    assert {x.named for x in by["av+Visual"].values()} == {("Visual",)}
    drawn = [x.named for x in by["random"].values()]
    assert {("Audio",), ("Visual",), ("Audio-Visual",)} == set(drawn)
    page = write_evaluation(tmp_path / "r", summarise_eval(RunDir(tmp_path / "r")), None, "")
    assert "AVHBench Avg." in page.read_text() and "| av |" in (tmp_path / "r/report.md").read_text()


def test_a_question_that_dies_is_wrong_in_every_denominator(benchmark, tmp_path):
    script = [json.loads(x) for x in (benchmark / "script.jsonl").open()]
    dead = script[-1]["question_id"]
    other = tmp_path / "script.jsonl"
    failed = {"error": "played_failure", "responses": []}
    lines = [x | failed if x["question_id"] == dead and x["setting"] == "av" else x for x in script]
    other.write_text("".join(json.dumps(x) + "\n" for x in lines))
    tallies = evaluate(benchmark, tmp_path / "r", ("a", "v", "av"), **{"model.model": str(other)})
    assert tallies["eval"].kept == 11
    summary = summarise_eval(RunDir(tmp_path / "r"))
    av = summary["conditions"]["av"]
    assert summary["lost"] == 1 and av["all"]["questions"] == 12 and av["all"]["lost"] == 1
    assert av["all"]["accuracy"] == pytest.approx(11 / 12) and av["tasks"][MIS]["accuracy"] == 0.75
    assert av["official"]["accuracy"] == pytest.approx(11 / 12) and av["official"]["rule"] == "avhbench"
    assert {(g["field"], g["questions"]) for g in av["official"]["by"]} == {("task", 4), ("task", 3)}
    text = write_evaluation(tmp_path / "r", summary, None, "").read_text()
    assert "of these not asked (wrong)" in text and "avhbench&#39;s rule" in text


def test_answers_follow_one_modality_where_the_two_alone_differ(benchmark, tmp_path):
    evaluate(benchmark, tmp_path / "r", ("a", "v", "av"))
    rates = summarise_eval(RunDir(tmp_path / "r"))["selection"]
    # sound alone says Yes to eleven, picture alone No to all; both say what is true
    assert rates["n"] == 11 and rates["sound"]["rate"] == pytest.approx(5 / 11) and rates["neither"]["rate"] == 0


@pytest.mark.slow
def test_two_runs_are_compared_question_by_question(benchmark, tmp_path):
    evaluate(benchmark, tmp_path / "one")
    other = tmp_path / "script.jsonl"
    lines = [json.loads(x) for x in (benchmark / "script.jsonl").open()]
    for x in lines:
        if x["setting"] == "av":
            x["responses"] = ["<ans>Yes</ans>"]
    other.write_text("".join(json.dumps(x) + "\n" for x in lines))
    evaluate(benchmark, tmp_path / "two", ("av",), **{"model.model": str(other)})
    compared = compare_runs(RunDir(tmp_path / "one"), RunDir(tmp_path / "two"))
    assert set(compared) == {"av"} and compared["av"]["all"]["n"] == 12
    assert compared["av"]["all"]["difference"] == 0.5 and compared["av"]["all"]["mcnemar"] == pytest.approx(2 * 0.5**6)
    low, high = compared["av"]["all"]["interval"]
    assert 0 < low < 0.5 < high < 1 and set(compared["av"]) == {
        "all",
        *(f"task {t}" for t in (VAH, AVH, MIS)),
        "PEM Audio",
        "PEM Visual",
        "PEM Audio-Visual",
    }


def test_invalid_conditions_say_why(benchmark, tmp_path):
    with pytest.raises(UserError, match="no condition 'smell'"):
        evaluate(benchmark, tmp_path / "r", ("smell",))
    with pytest.raises(UserError, match="separate-then-fuse"):
        evaluate(benchmark, tmp_path / "r", ("av+Audio",), prompt="cot@1")
    with pytest.raises(UserError, match="not a finished run"):
        (tmp_path / "x").mkdir()
        (tmp_path / "x/run.json").write_text('{"stages": {}, "recipe": {"seed": 0}}')
        summarise_eval(RunDir(tmp_path / "x"))


@pytest.mark.slow
def test_in_the_demo_world_answers_follow_what_is_shown_and_the_swapped_sound(world, tmp_path):
    folder, items = world
    changes = {"captions": folder / "captions.jsonl", "media": folder / "clips", "threshold": 0.97}
    running.run("pair", tmp_path / "p", changes)
    running.run("swap", tmp_path / "s", {"pairs": tmp_path / "p/pairs.jsonl", "media": folder / "clips"})
    changes = {"annotations": folder / "questions.json", "media": folder / "clips", "swapped": tmp_path / "s"}
    asked = {"factual": "a,v,av", "counterfactual": "av"}
    for variant, conditions in asked.items():
        given = {**changes, "variant": variant, "conditions": conditions}
        tallies = running.run("eval", tmp_path / variant, given)
        assert tallies["ingest"].kept > 40 and tallies["eval"].dead == {}
    by_id = {i.number: i.draft.evidence for i in items}
    rows = [r for t in RunDir(tmp_path / "factual").parts("eval").rows() for r in t.to_pylist()]
    evidence = {r["question_id"]: by_id[int(r["source_id"])] for r in rows}

    def accuracy(variant, condition, wanted):
        scores = [
            x.score for x in read_eval(RunDir(tmp_path / variant))[condition] if evidence[x.question_id] == wanted
        ]
        assert len(scores) >= 5
        return sum(scores) / len(scores)

    assert accuracy("factual", "av", "audio") > 0.9 and accuracy("factual", "a", "audio") > 0.9
    assert accuracy("factual", "v", "audio") < 0.6 and accuracy("factual", "v", "visual") > 0.9
    # the truth is still that of the original sound: answers by ear change, answers by eye do not
    assert accuracy("counterfactual", "av", "audio") < 0.1
    # without the sound in question, a guess among four options is left
    assert accuracy("counterfactual", "av", "both") < 0.45
    assert accuracy("counterfactual", "av", "visual") > 0.9
    compared = compare_runs(RunDir(tmp_path / "counterfactual"), RunDir(tmp_path / "factual"))
    assert compared["av"]["all"]["difference"] < -0.2 and compared["av"]["all"]["mcnemar"] < 0.01
    # a forced PEM starts the response and is the PEM it states
    forced = {**changes, "variant": "factual", "conditions": ",".join(FORCED), "run.limit": 9}
    running.run("eval", tmp_path / "forced", forced)
    for pem in ("Audio", "Visual", "Audio-Visual"):
        assert {x.named for x in read_eval(RunDir(tmp_path / "forced"))[f"av+{pem}"]} == {(pem,)}
    # another variant is a different input, even in the same folders
    with pytest.raises(RecipeChanged, match="ingest output of this run was made with different settings"):
        running.run("eval", tmp_path / "factual", {**given, "variant": "counterfactual"})
    # with nothing changed, nothing is sampled again
    again = running.run("eval", tmp_path / "factual", {**changes, "variant": "factual", "conditions": asked["factual"]})
    assert again["eval"].kept == len(rows)


def test_the_random_pem_is_drawn_for_each_question_from_all_three():
    """Drawn by seed and question: not the same PEM for all, and the same on every read."""
    from collections import Counter

    from avcurate.tasks.evaluate.summary import _answered

    def drawn(number, seed):
        asked = [
            {"condition": name, "answers": [name], "correct": [True], "pems": [None]}
            for name in ("av+Audio", "av+Visual", "av+Audio-Visual")
        ]
        row = {"question_id": f"q{number}", "question_type": None, "pem": None, "answer": "Yes", "asked": asked}
        return dict(_answered(row, seed))["random"].answers[0]

    first = [drawn(i, 0) for i in range(600)]
    assert first == [drawn(i, 0) for i in range(600)] and first != [drawn(i, 1) for i in range(600)]
    assert all(150 < n < 250 for n in Counter(first).values()) and len(set(first)) == 3


def test_a_model_that_was_trained_with_another_prompt_is_pointed_out(tmp_path, caplog):
    from avcurate.prompts import get_prompt
    from avcurate.tasks.trained import warn_of_another_prompt

    (tmp_path / "model").mkdir()
    model = str(tmp_path / "model")
    warn_of_another_prompt(model, get_prompt("cot@1"))
    for damaged in ("{", '{"task": "train"}', '{"task": "eval", "recipe": {"prompt": "cot@1"}}'):
        (tmp_path / "run.json").write_text(damaged)
        warn_of_another_prompt(model, get_prompt("separate-then-fuse@1"))
    (tmp_path / "run.json").write_text('{"task": "train", "recipe": {"prompt": "cot@1"}}')
    warn_of_another_prompt(model, get_prompt("cot@1"))
    assert not caplog.records
    warn_of_another_prompt(model, get_prompt("separate-then-fuse@1"))
    assert "trained with prompt cot@1 and is asked with separate-then-fuse@1" in caplog.text
