"""What a judge of open answers is asked, and how its replies are read."""

import pytest

from avcurate.metrics.grading import RATE, SAME, filled, read_rating, read_same

FIVE = "CORRECTNESS: {} - x\nRELEVANCE: {} - x\nCOMPLETENESS: {} - x\nCLARITY: {} - x\n"


@pytest.mark.parametrize(
    ("reply", "rating"),
    [
        (FIVE.format(1, 2, 3, 4) + "OVERALL: 4.5 - good", 4.5),
        (FIVE.format(1, 2, 3, 4), 2.5),
        ("<think>OVERALL: 1</think>**Overall:** 5", 5),
        ("overall: 9", None),
        ("CORRECTNESS: 4", None),
        ("I cannot say.", None),
        ("", None),
    ],
)
def test_a_rating_is_the_overall_one_else_the_mean_of_all_four(reply, rating):
    assert read_rating(reply) == rating


def test_yes_and_no_are_read_and_nothing_else():
    replies = {"Yes.": True, "no": False, "<think>yes</think>No": False, "perhaps": None, "": None}
    assert {t: read_same(t) for t in replies} == replies


def test_places_are_filled_once_so_that_an_answer_cannot_ask_for_the_reference():
    for prompt in (RATE, SAME):
        text = filled(prompt, "What {answer}?", "a drum", "{reference} {question}")
        assert "Question: What {answer}?" in text and "Answer: {reference} {question}" in text
        assert text.count("a drum") == 1
