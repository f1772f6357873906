"""The model of the hard world is right between chance and certainty, from what it hears and sees."""

import pytest

from avcurate.demo.build import build_world
from avcurate.demo.evaluate import evaluate, table

pytest.importorskip("torch")


@pytest.mark.slow
def test_it_is_right_where_the_evidence_is_shown_and_not_always(tmp_path):
    from avcurate.engines.checkpoint import Checkpoint
    from avcurate.engines.transformers_engine import TransformersEngine

    items = build_world(tmp_path / "w", 72, seed=6161, workers=2, hard=True)
    engine = TransformersEngine(Checkpoint("embedded-hard"))
    engine.setup()
    rows = table(evaluate(engine, items, tmp_path / "w/clips", 2, 1))
    engine.close()

    def right(setting, evidence):
        ours = [r for r in rows if r["evidence"] in evidence]
        asked = sum(r["questions"] for r in ours)
        return sum(r[setting] * r["questions"] for r in ours) / asked, sum(
            r["chance"] * r["questions"] for r in ours
        ) / asked

    accuracy, chance = right("av", ("audio", "visual", "both"))
    assert chance + 0.25 < accuracy < 0.97
    for setting, evidence, other in (("a", "audio", "visual"), ("v", "visual", "audio")):
        accuracy, chance = right(setting, (evidence,))
        assert accuracy > chance + 0.2
        blind, chance = right(setting, (other,))
        assert abs(blind - chance) < 0.15
