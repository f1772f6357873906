"""The page of a training draws every value of the log and escapes what it shows."""

import pytest

from avcurate.report.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, drawn
from avcurate.tasks.train.page import training_figures, write_training_page


def test_curves_by_hand(tmp_path):
    lines = [
        {"step": s, "reward/total": v, "kl": 0.1 * v, "never": 0.0, "epoch": 1}
        for s, v in ((1, 0.0), (2, 1.0), (3, 0.5))
    ]
    lines.append({"step": 3, "odd": 1.0})
    reward, kl = training_figures(lines)
    assert [f["title"] for f in (reward, kl)] == ["reward", "kl"] and reward["series"][0]["name"] == "total"
    # from the first step to the last, zero at the bottom and the highest tick at the top
    (line,) = drawn(reward)["drawn"]
    middle, width, height = (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT, HEIGHT - BOTTOM
    assert line["dots"] == [(LEFT, height), (middle, TOP), (width, pytest.approx((height + TOP) / 2))]
    page = write_training_page(tmp_path, lines, {"model": "<script>"}).read_text()
    assert line["line"] in page and "<td>reward/total</td><td>0</td><td>0.5</td><td>0</td><td>1</td>" in page
    assert "<td>never</td>" in page and "<h3>never" not in page
    assert ">odd<" not in page and ">epoch<" not in page and "95 %" not in page
    assert "&lt;script&gt;" in page
