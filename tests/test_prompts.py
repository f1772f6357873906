"""Prompts: what a model is shown, and how its response is parsed; custom prompts come from a recipe or a file."""

import json

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.errors import UserError
from avcurate.prompts import COT, SEPARATE_THEN_FUSE, OwnPrompt, get_prompt
from avcurate.publish.selection import Selection
from avcurate.publish.shards import Form, export_run
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


def test_a_placeholder_is_filled_once_and_braces_in_a_question_are_text():
    shown = OwnPrompt.model_validate(OWN).prompt().render("What do {choices} and {last} say?", ("{question}", "b"))
    assert shown.startswith("What do {choices} and {last} say?\nOptions:\nA. {question}\nB. b\nReasons")
    after = OwnPrompt(name="x", instruction="One letter of A to {last}.").prompt()
    assert after.render("Q?", ("a", "b")) == "Q?\nA. a\nB. b\nOne letter of A to B."


def test_custom_tags_are_parsed_as_the_standard_ones():
    prompt = OwnPrompt.model_validate(OWN).prompt()
    response = "<Rationale>It barks; <finalx> is no tag.</rationale> <final>B</FINAL>"
    assert prompt.read(response) == "<think>It barks; <finalx> is no tag.</think> <answer>B</answer>"
    assert COT.read(response) == response and SEPARATE_THEN_FUSE.read(response) == response
    assert prompt.read("<final>" * 100_000).count("<answer>") == 100_000


def test_the_version_is_the_content():
    prompt = OwnPrompt.model_validate(OWN).prompt()
    assert prompt.name == OwnPrompt.model_validate(OWN | {"about": "mine"}).prompt().name
    others = [OWN | {"instruction": "x"}, OWN | {"answer_tags": ["ans"]}, OWN | {"reasoning_tags": ["r"]}]
    names = {OwnPrompt.model_validate(o).prompt().name for o in others}
    assert prompt.name.startswith("rationale@") and len(names | {prompt.name}) == 4


def test_a_prompt_with_the_tags_of_separate_then_fuse_is_one():
    own = OwnPrompt(name="sffl", instruction="x", reasoning_tags=("v", "a", "sum"), answer_tags=("ans",)).prompt()
    assert own.fuses and SEPARATE_THEN_FUSE.fuses and not COT.fuses and own.renamed == ()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"instruction": ""}, "instruction"),
        ({"answer_tags": ["a b"]}, "answer_tags"),
        ({"reasoning_tags": ["Answer"]}, "<answer> is read as something else"),
        ({"answer_tags": ["think"]}, "<think> is read as something else"),
        ({"answer_tags": ["Rationale"]}, "<rationale> is read as something else"),
        ({"answer_tags": [".*"]}, "answer_tags"),
        ({"name": "../x"}, "name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_named(tmp_path, wrong, says):
    (tmp_path / "p.yaml").write_text(json.dumps(OWN | wrong))
    result = CliRunner().invoke(app, ["prompt", "show", str(tmp_path / "p.yaml")])
    assert isinstance(result.exception, UserError) and says in result.exception.message
    with pytest.raises(UserError, match=says):
        running.recipe_for("label-pem", {"prompt": OWN | wrong})


def test_a_missing_file_and_an_unknown_name_give_one_error(tmp_path):
    for name in (str(tmp_path / "none.yaml"), "nosuch"):
        with pytest.raises(UserError, match=r"none\.yaml|nosuch"):
            running.recipe_for("label-pem", {"prompt": name})
    assert get_prompt("cot") is COT


def test_a_run_uses_and_stores_a_prompt_from_a_file(tmp_path):
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
    # the file may go: the run has its content
    file.unlink()
    recipe = recorded_recipe(case.run)
    assert get_prompt(recipe.prompt).name == name
    facts = export_run(RunDir(case.out), tmp_path / "shards", Form("parquet"), Selection(0.0, 0.0, 0))
    assert facts["prompt"] == name and name in (tmp_path / "shards/README.md").read_text()
    case.go(changes={"prompt": OWN})
    with pytest.raises(UserError, match="prompt"):
        case.go(changes={"prompt": OWN | {"instruction": "{question}"}})


def test_training_rewards_parse_custom_tags():
    recipe = running.recipe_for("train", {"prompt": OWN, "rewards": {"accuracy": 1.0}})
    row = {"choices": ["red", "blue"], "answer": "red", "pem": "Visual", "question_id": "q"}
    scored = Scorer(recipe)([row] * 2, ["<rationale>x</rationale><final>red</final>", "<final>blue</final>"])
    assert scored.parts["accuracy"][0] > scored.parts["accuracy"][1]
