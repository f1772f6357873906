"""No response earns more than it deserves; the documentation shows the same hundred."""

import pytest

from avcurate.metrics.answers import fold
from avcurate.metrics.evaluation import read_answer
from avcurate.train.rewards import answer_accuracy, preference_and_structure, structure, think_format
from tests.conftest import REPO
from tests.train.adversarial import ANSWER, CASES, CHOICES, PEM

HEAD = "| response | accuracy | structure | preference | format | evaluation |"


def earned(text):
    said = read_answer(text, CHOICES)
    return (
        answer_accuracy(text, ANSWER, CHOICES),
        structure(text),
        preference_and_structure(text, PEM),
        think_format(text),
        float(said is not None and fold(said) == ANSWER),
    )


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_each_earns_what_it_deserves(case):
    text, *wanted = case
    assert earned(text) == tuple(wanted), text


def test_there_are_a_hundred_and_the_documentation_shows_them():
    assert len(CASES) == len({c[0] for c in CASES}) == 100
    lines = [HEAD, "|---|---|---|---|---|---|"]
    for text, *values in CASES:
        shown = text.replace("\n", "⏎").replace("|", "\\|") or " "
        lines.append(f"| `{shown}` | " + " | ".join(str(v) for v in values) + " |")
    assert "\n".join(lines) in (REPO / "docs/rewards.md").read_text(), "docs/rewards.md shows other cases"
