"""How busy an engine is, and what it waits for: by a clock of the test's own, and on a real run."""

import time

import pytest

from avcurate.scheduler.pulse import CANARY, CLIPS, COMMIT, Pulse


def test_waiting_is_counted_by_cause():
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    for cause, seconds in ((CLIPS, 1.0), (CANARY, 0.5), (CLIPS, 0.5)):
        with pulse.waiting(cause):
            now[0] += seconds
    now[0] = 10.0
    assert pulse.busy == pytest.approx(0.8) and str(pulse) == "engine busy 80% (waited for clips 15%, canary 5%)"
    assert str(Pulse(lambda: 0.0)) == "engine busy 100%"


def test_a_run_says_how_busy_its_engine_was(tmp_path, tiny_clip):
    """An engine of this process stands still while rows are committed; one that answers elsewhere does not."""
    from tests import running
    from tests.attack.cases import Steady
    from tests.conftest import CountingEmbedder, write_questions

    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/clip.mp4").write_bytes(tiny_clip.read_bytes())
    write_questions(tmp_path / "q.json", 12)
    changes = {"annotations": tmp_path / "q.json", "media": tmp_path / "clips", "n": 2, "run.part_size": 4}
    for aside in (False, True):
        said = []
        engine = Steady(lambda r: "<answer>red</answer>", broken=False)
        engine.answers_aside = aside

        def begin(stage, said=said):
            def watch(tally, outcome, row):
                if stage == "sample" and outcome is not None:
                    time.sleep(0.02)
                    said.append(tally.pulse)

            return watch

        running.run(
            "label-pem", tmp_path / str(aside), changes, engine=engine, embedder=CountingEmbedder(), begin=begin
        )
        assert len(said) == 12 and all(s.startswith("engine busy") for s in said)
        assert (COMMIT in said[-1]) is not aside
