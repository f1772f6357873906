"""Sensitivity and modality selection, by hand."""

import pytest

from avcurate.metrics.selection import followed, selection_rates
from avcurate.metrics.sensitivity import PairAnswers, sensitivity


def pairs(*rows):
    return [PairAnswers(*r) for r in rows]


def test_a_model_that_changes_with_the_evidence_has_one_and_a_constant_one_has_none():
    perfect = sensitivity(pairs((True, "Yes", "No", True), (True, "No", "Yes", True), (False, "Yes", "Yes", True)))
    assert perfect["sensitivity"] == 1.0 and perfect["both_right"]["rate"] == 1.0 and perfect["pairs"] == 3
    constant = sensitivity(pairs((True, "Yes", "Yes", False), (False, "Yes", "Yes", True)))
    assert constant["sensitivity"] == 0.0 and constant["changed_where_it_should"]["rate"] == 0.0
    fickle = sensitivity(pairs((True, "Yes", "No", True), (False, "Yes", "No", False)))
    assert fickle["sensitivity"] == 0.0 and fickle["both_right"]["rate"] == 0.5


def test_an_unreadable_answer_is_no_change_and_a_missing_kind_gives_no_number():
    assert not PairAnswers(True, None, "No", False).changed and not PairAnswers(True, "No", None, False).changed
    only = sensitivity(pairs((True, "Yes", "No", True)))
    assert only["sensitivity"] is None and only["changed_where_it_should_not"] == {
        "n": 0, "rate": None, "interval": None,
    }  # fmt: skip
    assert sensitivity([])["pairs"] == 0


def test_the_interval_holds_the_difference():
    rows = [(True, "Yes", "No" if i % 4 else "Yes", bool(i % 4)) for i in range(80)]
    rows += [(False, "No", "No" if i % 5 else "Yes", bool(i % 5)) for i in range(100)]
    result = sensitivity(pairs(*rows))
    low, high = result["interval"]
    assert result["sensitivity"] == pytest.approx(0.75 - 0.2) and low < 0.55 < high
    # the standard error of the difference, by the normal approximation
    error = (0.75 * 0.25 / 80 + 0.2 * 0.8 / 100) ** 0.5
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_answers_under_conflict_follow_sound_picture_or_neither():
    assert followed("Yes", "Yes", "No") == "sound" and followed("No", "Yes", "No") == "picture"
    assert followed(None, "Yes", "No") == "neither" and followed("maybe", "a", "b") == "neither"
    assert followed("Yes", "Yes", "Yes") is None and followed("Yes", None, "No") is None
    rates = selection_rates(["sound", None, "sound", "picture", "neither"])
    assert rates["n"] == 4 and [rates[w]["rate"] for w in ("sound", "picture", "neither")] == [0.5, 0.25, 0.25]
    low, high = rates["sound"]["interval"]
    assert low < 0.5 < high
    assert selection_rates([None])["sound"] == {"rate": None, "interval": None}
