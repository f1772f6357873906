"""The dominance rule, case by case, and its prompt byte for byte."""

from itertools import product

import pytest

from avcurate.metrics.dominance import by_correctness, by_prediction, majority, margin
from avcurate.prompts import CLASSIFY
from avcurate.sources.pool import QUESTION


def f(*names):
    return frozenset(names)


@pytest.mark.parametrize(
    ("a", "v", "av", "expected"),
    [
        (f("x"), f("y"), f("x"), ("audio", None)),
        (f("x"), f("y"), f("y"), ("video", None)),
        (f("x"), f("y"), f("z"), (None, "neither_alone")),
        (f("x"), f("x"), f("x"), (None, "all_agree")),
        (f("x"), f("x"), f("y"), (None, "both_overruled")),
        (f("x", "y"), f("x"), f("y", "x"), ("audio", None)),
        (f("x", "y"), f("x"), f("y"), (None, "neither_alone")),
        (None, f("x"), f("x"), (None, "unreadable")),
        (f("x"), f("y"), None, (None, "unreadable")),
    ],
)
def test_by_prediction(a, v, av, expected):
    assert by_prediction(a, v, av) == expected


def test_by_correctness_names_every_case():
    labels = {case: by_correctness(*case) for case in product((False, True), repeat=3)}
    assert labels[True, False, True] == ("audio", None) and labels[False, True, True] == ("video", None)
    assert {c: r for c, (d, r) in labels.items() if d is None} == {
        (False, False, False): "all_wrong", (False, False, True): "only_together", (True, True, True): "all_right",
        (True, False, False): "lost_together", (False, True, False): "lost_together",
        (True, True, False): "lost_together",
    }  # fmt: skip


def test_majority_counts_unreadable_answers_against_it():
    assert majority(["x", "x", "y", None]) == ("x", 0.5)
    assert majority(["x", "y"]) == (None, 0.5)
    assert majority([None, None]) == (None, 0.0)


def test_the_prompt_is_the_authors():
    options = [f"class {i}" for i in range(20)]
    lines = "\n".join(f"{'ABCDEFGHIJKLMNOPQRST'[i]}. class {i}" for i in range(20))
    assert CLASSIFY.render(QUESTION, options) == (
        "Classify the sounding object into one of the categories below:\n\n"
        f"{lines}\nRespond ONLY with a single label letter (A\u2013T)."
    )


def test_the_margin_looks_at_options_alone():
    assert margin({"A": -0.5, "C": -1.5, "The": -0.1, "Z": -0.2}, "ABCD") == pytest.approx(1.0)
    assert margin({"A": -0.5, "The": -0.1}, "ABCD") is None and margin({}, "AB") is None
