"""Prompts: what a model is shown, and how what it says is read; a user's own come from a recipe or a file."""

import json

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.errors import UserError
from avcurate.prompts import COT, SEPARATE_THEN_FUSE, OwnPrompt, get_prompt
from avcurate.publish.shards import export_run
from avcurate.runner.rundir import RunDir
from avcurate.tasks.run import recorded_recipe
from avcurate.train.scoring import Scorer
from tests import running
from tests.attack.cases import CASES

OWN = {
    "name": "rationale",
    "instruction": "{question}\nOptions:\n{choices}\nReasons in <rationale></rationale>, then <final></final>.",
    "reasoning_tags": ["rationale"],
    "answer_tags": ["final"],
}


def test_a_place_is_filled_once_and_what_a_question_says_is_text():
    shown = OwnPrompt.model_validate(OWN).prompt().render("What do {choices} and {last} say?", ("{question}", "b"))
    assert shown.startswith("What do {choices} and {last} say?\nOptions:\nA. {question}\nB. b\nReasons")
    after = OwnPrompt(name="x", instruction="One letter of A to {last}.").prompt()
    assert after.render("Q?", ("a", "b")) == "Q?\nA. a\nB. b\nOne letter of A to B."


def test_own_tags_are_read_as_those_that_every_parser_knows():
    prompt = OwnPrompt.model_validate(OWN).prompt()
    said = "<Rationale>It barks; <finalx> is no tag.</rationale> <final>B</FINAL>"
    assert prompt.read(said) == "<think>It barks; <finalx> is no tag.</think> <answer>B</answer>"
    assert COT.read(said) == said and SEPARATE_THEN_FUSE.read(said) == said
    assert prompt.read("<final>" * 100_000).count("<answer>") == 100_000


def test_the_version_is_the_content():
    one = OwnPrompt.model_validate(OWN).prompt()
    assert one.name == OwnPrompt.model_validate(OWN | {"about": "mine"}).prompt().name
    others = [OWN | {"instruction": "x"}, OWN | {"answer_tags": ["ans"]}, OWN | {"reasoning_tags": ["r"]}]
    names = {OwnPrompt.model_validate(o).prompt().name for o in others}
    assert one.name.startswith("rationale@") and len(names | {one.name}) == 4


def test_a_prompt_with_the_tags_of_separate_then_fuse_is_one():
    own = OwnPrompt(name="sffl", instruction="x", reasoning_tags=("v", "a", "sum"), answer_tags=("ans",)).prompt()
    assert own.fuses and SEPARATE_THEN_FUSE.fuses and not COT.fuses and own.renamed == ()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"instruction": ""}, "instruction"),
        ({"answer_tags": ["a b"]}, "answer_tags"),
        ({"answer_tags": [".*"]}, "answer_tags"),
        ({"name": "../x"}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_named(tmp_path, wrong, says):
    (tmp_path / "p.yaml").write_text(json.dumps(OWN | wrong))
    found = CliRunner().invoke(app, ["prompt", "show", str(tmp_path / "p.yaml")])
    assert isinstance(found.exception, UserError) and says in found.exception.message
    with pytest.raises(UserError, match=says):
        running.recipe_for("label-pem", {"prompt": OWN | wrong})


def test_a_file_that_is_not_there_and_an_unknown_name_are_a_sentence(tmp_path):
    for name in (str(tmp_path / "none.yaml"), "nosuch"):
        with pytest.raises(UserError, match=r"none\.yaml|nosuch"):
            running.recipe_for("label-pem", {"prompt": name})
    assert get_prompt("cot") is COT


def test_a_run_is_asked_and_read_with_a_prompt_of_a_file_and_keeps_it(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(OWN))
    case = CASES["label-pem"](tmp_path / "all")
    case.fix()
    shown = []

    def say(request):
        shown.append(request.prompt)
        answer = "red" if request.frames is not None else "blue"
        return f"<rationale>It looks {answer}.</rationale><final>{answer}</final>"

    case.parts["engine"].say = say
    case.go(changes={"prompt": str(file)})
    assert shown and all("\nOptions:\nA. " in s and s.endswith("<final></final>.") for s in shown)
    (name,) = {s["identity"]["prompt"] for s in case.run.record()["stages"].values() if "prompt" in s["identity"]}
    assert name.startswith("rationale@")
    rows = [r for t in case.run.parts("label").rows() for r in t.to_pylist()]
    assert {r["pem"] for r in rows if r["answer"] == "red"} == {"Visual"}
    assert all(a == "red" for r in rows for a in r["av_answers"])
    # the file may go: the run holds what it said
    file.unlink()
    recipe = recorded_recipe(case.run)
    assert get_prompt(recipe.prompt).name == name
    facts = export_run(RunDir(case.out), tmp_path / "shards", "parquet", 0.0, 0.0, 0)
    assert facts["prompt"] == name and name in (tmp_path / "shards/README.md").read_text()
    case.go(changes={"prompt": OWN})
    with pytest.raises(UserError, match="prompt"):
        case.go(changes={"prompt": OWN | {"instruction": "{question}"}})


def test_training_rewards_read_own_tags():
    recipe = running.recipe_for("train", {"prompt": OWN, "rewards": {"accuracy": 1.0}})
    row = {"choices": ["red", "blue"], "answer": "red", "pem": "Visual", "question_id": "q"}
    scored = Scorer(recipe)([row] * 2, ["<rationale>x</rationale><final>red</final>", "<final>blue</final>"])
    assert scored.parts["accuracy"][0] > scored.parts["accuracy"][1]
