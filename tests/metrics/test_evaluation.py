"""Measures by hand, the papers' averages, words not substrings, and tests of difference."""

import numpy as np
import pytest

from avcurate.metrics.evaluation import (
    AVH,
    MIS,
    VAH,
    answer_measures,
    avhbench_average,
    overall_average,
    read_answer,
)
from avcurate.metrics.pem import pem_of, said_pem
from avcurate.metrics.statistics import mcnemar, paired_interval
from avcurate.schema import PEM

# SFFL Table 1: VAH, AVH, MIS, Avg., AVQA, Valor2, MUSIC-AVQA, Avg.
TABLE_1 = [
    (77.12, 82.31, 70.68, 75.95, 90.79, 75.59, 63.64, 76.49),
    (73.93, 61.71, 51.76, 63.47, 85.69, 60.57, 79.32, 68.65),
    (56.27, 84.26, 49.68, 59.94, 80.69, 61.43, 63.41, 66.37),
    (72.14, 71.65, 72.81, 72.27, 89.34, 72.67, 58.81, 73.27),
    (61.41, 70.02, 61.51, 63.29, 88.07, 66.36, 58.82, 69.14),
    (62.27, 78.61, 59.49, 64.79, 88.67, 70.59, 62.71, 71.69),
    (74.28, 81.95, 66.36, 73.12, 89.62, 76.56, 66.00, 76.33),
    (75.20, 81.69, 73.08, 75.84, 91.31, 76.35, 66.61, 77.53),
    (80.79, 85.12, 79.58, 81.29, 92.31, 77.43, 69.93, 80.24),
]


@pytest.mark.parametrize("row", TABLE_1, ids=lambda r: str(r[3]))
def test_the_papers_averages(row):
    vah, avh, mis, average, avqa, valor, music, overall = row
    assert round(avhbench_average({VAH: vah, AVH: avh, MIS: mis}), 2) == pytest.approx(average, abs=0.0051)
    if overall != 68.65:  # that row's columns give 72.26
        assert overall_average(average, avqa, valor, music) == pytest.approx(overall, abs=0.0051)
    else:
        assert overall_average(average, avqa, valor, music) == pytest.approx(72.26, abs=0.0051)


def test_measures_by_hand():
    measures = answer_measures(["Yes", "Yes", "No", None, "Yes"], ["Yes", "No", "No", "Yes", "Yes"])
    assert measures == {
        "n": 5,
        "accuracy": 3 / 5,
        "unparseable": 1 / 5,
        "precision": 2 / 3,
        "recall": 2 / 3,
        "f1": 2 / 3,
        "yes_rate": 3 / 5,
    }
    always = answer_measures(["Yes"] * 4, ["Yes", "No"] * 2)
    assert (always["accuracy"], always["recall"], always["yes_rate"]) == (0.5, 1, 1) and always["f1"] == pytest.approx(
        2 / 3
    )
    assert "f1" not in answer_measures(["a dog"], ["a dog"])
    assert answer_measures(["No"], ["No"])["precision"] is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes, the dog is visible in the video.", "Yes"),
        ("I do not know; nothing is visible.", None),
        ("The answer is no, it is not audible.", "No"),
        ("No. Although yes would be tempting.", "No"),
        ("It could be yes or no.", None),
        ("<think>no, no, no</think><answer>yes</answer>", "Yes"),
        ("<ans> The dog barks, so yes. </ans>", "Yes"),
        ("Notably, the note is now known.", None),
        ("There is no dog.", None),
        ("No idea.", None),
        ("No the dog is silent", "No"),
        ("**No**", "No"),
        ("", None),
    ],
)
def test_yes_and_no_are_words(text, answer):
    assert read_answer(text, ("Yes", "No")) == answer


def test_a_pem_is_read_where_it_is_named():
    assert said_pem("<mod> audio-visual </mod><v>x</v>") is PEM.AUDIO_VISUAL
    assert said_pem("<mod>Smell</mod>") is None and said_pem("Audio") is None
    assert [pem_of(x) for x in ("View", "Sound", "Both", "Audio", None, "")] == [
        PEM.VISUAL,
        PEM.AUDIO,
        PEM.AUDIO_VISUAL,
        PEM.AUDIO,
        None,
        None,
    ]


def test_mcnemar_against_scipy_and_intervals_that_cover():
    from scipy.stats import binomtest

    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.random((2, 60)) < rng.random(2)[:, None]
        discordant = int((a != b).sum())
        expected = binomtest(int((a & ~b).sum()), discordant).pvalue if discordant else 1.0
        assert mcnemar(a, b) == pytest.approx(expected, abs=1e-9)
    covered = 0
    for i in range(60):
        ours = (rng.random(200) < 0.7).astype(float)
        theirs = np.where(rng.random(200) < 0.5, ours, rng.random(200) < 0.5).astype(float)
        mean, low, high = paired_interval(ours, theirs, draws=400, seed=i)
        assert low <= mean <= high
        covered += low <= 0.7 - 0.6 <= high
    assert covered >= 51
