"""Rewards, each with a table of cases."""

import pytest

from avcurate.train.rewards import (
    answer_accuracy,
    pem_match,
    preference_and_structure,
    structure,
    think_format,
)

GOOD = "<mod>Audio</mod><v>a ring</v><a>a bell</a><sum>the bell decides</sum><ans>bell</ans>"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GOOD, 1),
        ("\n<mod> audio-visual </mod>\n\n<v>a ring</v> <a>a bell</a>\n<sum>so it is</sum><answer> yes </answer>\n", 1),
        (GOOD.upper(), 1),
        (GOOD + "</ans>", 0),
        (GOOD + " Done.", 0),
        ("Well. " + GOOD, 0),
        (GOOD.replace("<mod>Audio</mod>", ""), 0),
        (GOOD.replace("Audio", "Smell"), 0),
        (GOOD.replace("Audio", "both"), 0),
        (GOOD.replace("Audio", "Audio or Visual"), 0),
        (GOOD.replace("a ring", " "), 0),
        (GOOD.replace("bell</ans>", "</ans>"), 0),
        (GOOD.replace("<v>a ring</v><a>a bell</a>", "<a>a bell</a><v>a ring</v>"), 0),
        (GOOD.replace("a ring", "a <a>bell</a>"), 0),
        (GOOD + GOOD, 0),
        (GOOD.replace("<sum>", "<sum>x</sum><sum>"), 0),
        (GOOD.replace("</v>", ""), 0),
        (GOOD.replace("a ring", "a ring < 3 and > 2"), 1),
        ("", 0),
    ],
)
def test_structure(text, wanted):
    assert structure(text) == wanted


@pytest.mark.parametrize(
    ("text", "pem", "match", "conjunction", "halves"),
    [
        (GOOD, "Audio", 1, 1, 1),
        (GOOD, "Audio-Visual", 0, 0, 0.5),
        (GOOD.replace("</v>", ""), "Audio", 1, 0, 0.5),
        ("nothing", "Audio", 0, 0, 0),
        (GOOD.replace("Audio", "Audio-Visual"), "Audio", 0, 0, 0.5),
    ],
)
def test_preference_and_structure_in_both_forms(text, pem, match, conjunction, halves):
    assert pem_match(text, pem) == match
    assert preference_and_structure(text, pem) == conjunction
    assert preference_and_structure(text, pem, "halves") == halves


@pytest.mark.parametrize(
    ("text", "answer", "choices", "wanted"),
    [
        ("<ans>bell</ans>", "bell", ("bell", "drum"), 1),
        ("<answer> A </answer>", "bell", ("bell", "drum"), 1),
        ("<ans>Three</ans>", "3", (), 1),
        # by prefix this would be right
        ("<ans>Airplane</ans>", "A", (), 0),
        ("<ans>bell tower</ans>", "bell", ("bell", "drum"), 0),
        ("<sum>bell</sum>", "bell", ("bell", "drum"), 0),
        ("", "bell", (), 0),
    ],
)
def test_accuracy_is_exact(text, answer, choices, wanted):
    assert answer_accuracy(text, answer, choices) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<think>so it is</think><answer>bell</answer>", 1),
        ("<reasoning>so it is</reasoning>\n<answer>bell</answer>", 1),
        ("<think>so</think><answer> </answer>", 0),
        ("<think></think><answer>bell</answer>", 0),
        ("<think>a</think><think>b</think><answer>bell</answer>", 0),
        ("<think>so</think> hm <answer>bell</answer>", 0),
        ("bell", 0),
    ],
)
def test_think_format(text, wanted):
    assert think_format(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<answer>B</answer><answer>A</answer>", 0),
        ("<ans>A</ans><answer>B</answer>", 0),
        ("<answer>B</answer><ans>B. a dog</ans>", 1),
        ("<answer>B. or maybe A</answer>", 0),
        ("<answer>B. perhaps C</answer>", 0),
        ("<answer>B) a dog or option D</answer>", 0),
        ("<answer>B. or a drum</answer>", 1),
        ("<answer>B. a dog, perhaps. A car passes.</answer>", 1),
        ("<think>A or C</think><answer>a dog</answer>", 1),
    ],
)
def test_several_answers_and_hedges_earn_nothing(text, wanted):
    assert answer_accuracy(text, "a dog", ("a drum", "a dog", "a car", "a bird")) == wanted


def test_a_choice_that_names_letters_is_no_hedge():
    choices = ("Vitamin B or D", "Vitamin C (A)")
    assert answer_accuracy("<answer>A. Vitamin B or D</answer>", choices[0], choices) == 1
    assert answer_accuracy("<answer>B. Vitamin C (A)</answer>", choices[1], choices) == 1
