"""Answers are read from tags, stated letters and stated choices; nothing is guessed from substrings."""

import json
import re

import pytest

from avcurate.metrics.answers import fold, is_correct, parse_answer, reasoning_text, without_reasoning

COLORS = ["red", "green", "blue", "yellow"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>a</think><answer>blue</answer>", "blue"),
        ("<think>It is red, no, green.</think><answer> Blue. </answer>", "blue"),
        ("<answer>B</answer>", "green"),
        ("<answer>(B) green</answer>", "green"),
        ("<ans> b. </ans>", "green"),
        ("<answer>The answer is C</answer>", "blue"),
        ("<mod>Visual</mod><v>x</v><a>y</a><sum>z</sum><ans>yellow</ans>", "yellow"),
        ("reasoning from a template without opening tag</think> C", "blue"),
        ("(D)", "yellow"),
        ("D.", "yellow"),
        ("**D**", "yellow"),
        ("I looked at it.\nAnswer: B", "green"),
        ("I looked at it.\nFinal answer: green", "green"),
        ("I looked. So the correct answer is (A).", "red"),
        ("<think>first</think>\nblue", "blue"),
        ("the blue", "blue"),
    ],
)
def test_stated_answers(text, answer):
    assert parse_answer(text, COLORS) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<think>blue</think>",
        "<think>blue, cut off before it could ans",
        "<answer></answer>",
        "<answer>purple</answer>",
        "<answer>E</answer>",
        "It has red and blue parts.",
        "Reddish",
        "<answer>B. red</answer>",
        "A dog barks in the yard.",
        "The answer is (A) or the answer is (B).",
    ],
)
def test_what_cannot_be_read_is_not_guessed(text):
    assert parse_answer(text, COLORS) is None


def test_yes_and_no_are_words_not_substrings():
    assert parse_answer("I do not know; nothing is notable.", ["Yes", "No"]) is None
    assert parse_answer("<answer>no</answer>", ["Yes", "No"]) == "No"
    assert parse_answer("Yes.", ["Yes", "No"]) == "Yes"


def test_a_choice_that_looks_like_a_letter_wins_over_the_letter():
    assert parse_answer("<answer>A</answer>", ["C", "B", "A", "D"]) == "A"
    assert parse_answer("<answer>2</answer>", ["1", "2", "3", "4"]) == "2"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>two</answer>", "2"),
        ("<answer>The piano.</answer>", "piano"),
        ("Answer: yes", "yes"),
        ("ukulele", "ukulele"),
    ],
)
def test_open_answers(text, answer):
    assert is_correct(parse_answer(text, []), answer)


def test_a_long_open_ramble_is_not_an_answer():
    assert parse_answer("word " * 60, []) is None


def test_reasoning():
    assert reasoning_text("<think> I see it. </think><answer>x</answer>") == "I see it."
    assert reasoning_text("<mod>Audio</mod><v>p</v><a>s</a><sum>t</sum><ans>x</ans>") == "p s t"
    assert reasoning_text("It is so. <answer>x</answer>") == "It is so."
    assert fold(" An  Apple! ") == "apple"


def test_real_raw_answers_agree_with_their_published_verdicts(shared, capsys):
    """DAVE: 510 raw answers of Gemini to five lettered choices, each with the authors' verdict."""
    models = json.loads((shared / "predictions/dave_gemini_raw.json").read_text())["predictions"]
    total = disagree = unread = 0
    for settings in models.values():
        for items in settings.values():
            for item in items:
                choices = re.findall(r"^\([A-E]\) (.*)$", item["prompt"], re.MULTILINE)
                choices = [f"{i}: {c}" for i, c in enumerate(choices)]
                truth = {choices["ABCDE".index(g.strip("()"))] for g in item["ground_truth"]}
                answer = parse_answer(item["response_dict"]["response_text"] or "", choices)
                total += 1
                unread += answer is None
                disagree += (answer in truth) != item["is_correct"]
    with capsys.disabled():
        print(f"\nDAVE: {total} raw answers, {disagree} verdicts differ, {unread} unreadable")
    assert total >= 500 and disagree == 0


def test_what_is_left_around_a_reasoning_block_is_left_whole():
    assert without_reasoning("before<think>x</think>after<think>y</think>end").split() == ["before", "after", "end"]
    assert without_reasoning("a<reasoning>x</reasoning>b").split() == ["a", "b"]


def test_an_open_answer_without_a_tag_is_short():
    """At most 24 words and 180 characters, both included."""
    words = " ".join(["w"] * 24)
    assert parse_answer(words, ()) == words and parse_answer(words + " w", ()) is None
    letters = "x" * 180
    assert parse_answer(letters, ()) == letters and parse_answer(letters + "x", ()) is None
