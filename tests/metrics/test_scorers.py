"""Each benchmark's own rule, on cases made by hand and on real items."""

import json

import pytest

from avcurate.metrics.scorers import SCORERS, answer_text
from avcurate.sources.annotations import read_annotations
from avcurate.sources.formats import detect

CHOICES = ["Man", "Woman", "Child", "Robot"]


@pytest.mark.parametrize(
    ("rule", "text", "choices", "answer", "right"),
    [
        ("mmau", "<think>a man?</think><answer>a woman speaks</answer>", CHOICES, "Woman", True),
        ("mmau", "Woman, not a man", CHOICES, "Woman", False),
        ("mmau", "(B)", CHOICES, "Woman", False),
        ("mmau", "b. WOMAN.", CHOICES, "Woman", True),
        ("mmau", "", CHOICES, "Woman", False),
        # words that right and wrong choices share do no harm
        ("mmau", "a loud dog", ["loud dog", "loud cat"], "loud dog", True),
        ("mmau", "dog", ["loud dog", "loud cat"], "loud dog", False),
        ("music-avqa", "There are two instruments.", [], "two", True),
        ("music-avqa", "2", [], "two", True),
        ("music-avqa", "two or three", [], "two", False),
        ("music-avqa", "the acoustic guitar", [], "acoustic_guitar", True),
        ("music-avqa", "inside", [], "indoor", True),
        ("music-avqa", "more than ten", [], "more than ten", True),
        ("music-avqa", "they play simultaneously", [], "simultaneously", True),
        ("music-avqa", "I do not see one", [], "no", False),
        ("avhbench", "I do not know.", ["Yes", "No"], "No", True),
        ("avhbench", "<answer>Yes</answer> no", ["Yes", "No"], "No", False),
        ("choice", "<answer>(B) Woman</answer>", CHOICES, "Woman", True),
    ],
)
def test_rules(rule, text, choices, answer, right):
    assert SCORERS[rule].right(text, choices, answer) is right


def test_the_answer_is_the_tag_or_what_follows_the_reasoning():
    assert answer_text("<think>red</think> blue") == "blue"
    assert answer_text("<think>red</think><answer>green</answer> blue") == "green"
    assert answer_text("just this") == "just this"


@pytest.mark.parametrize(("file", "flaws"), [("mmau-test-mini.json", 12), ("mmar_meta.jsonl", 28)])
def test_real_answers_are_right_and_the_rule_has_the_flaws_it_has(shared, file, flaws):
    """A choice with the right one's words in another order counts as right, in the authors' rule as in ours."""
    asked = wrongly = 0
    for record in read_annotations(shared / "annotations" / file):
        form = detect(record.value)
        question = form.read(record.value)
        right = SCORERS[form.scorer].right
        asked += 1
        assert right(question.answer, question.choices, question.answer), question
        others = {c for c in question.choices if c.casefold() != question.answer.casefold()}
        wrongly += sum(right(other, question.choices, question.answer) for other in others)
    assert asked == 1000 and wrongly == flaws


def test_every_real_music_answer_is_in_the_closed_set(shared):
    rows = json.loads((shared / "annotations/music_avqa_test.json").read_text())
    rule = SCORERS["music-avqa"].right
    assert all(rule(r["anser"], (), r["anser"]) for r in rows)
