"""The page of a training draws every value of the log and escapes what it shows."""

from avcurate.tasks.train.page import write_training_page


def test_curves_by_hand(tmp_path):
    lines = [{"step": s, "reward/total": v, "kl": 0.0, "epoch": 1} for s, v in ((1, 0.0), (2, 1.0), (3, 0.5))]
    page = write_training_page(tmp_path, [*lines, {"step": 3, "odd": 1.0}], {"model": "<script>"}).read_text()
    # from the first step to the last, the minimum at the bottom and the maximum at the top
    assert 'points="0.0,106.0 150.0,4.0 300.0,55.0"' in page
    assert "<b>kl</b>" in page and "<b>odd</b>" not in page and "<b>epoch</b>" not in page
    assert "&lt;script&gt;" in page
