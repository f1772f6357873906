"""Training of the embedded model resumes to the same weights, and draws its curve."""

import json

import pytest

torch = pytest.importorskip("torch")

from avcurate.demo.bank import build_bank  # noqa: E402
from avcurate.demo.curve import draw  # noqa: E402
from avcurate.demo.train import TrainSpec, train  # noqa: E402
from avcurate.errors import UserError  # noqa: E402

SPEC = TrainSpec(
    seed=5, clips=20, hard_clips=20, encoder_steps=3, encoder_batch=4, hard_batch=2, lookup_steps=3, lookup_batch=4,
    lm_steps=4, lm_batch=4, compare_steps=4,
    warmup=2, checkpoint_every=2,
)  # fmt: skip


class Killed(Exception):
    pass


def weights(folder):
    from safetensors.torch import load_file

    return {k: v for f in sorted(folder.glob("*.safetensors")) for k, v in load_file(f).items()}


@pytest.mark.slow
def test_a_training_stopped_in_every_phase_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    bank = build_bank(tmp_path / "clips", SPEC.clips, SPEC.seed, 1)
    assert len(bank.pictures) == 20 and len(bank.sounds) == 60 and len(bank.audio) == 60
    hard = build_bank(tmp_path / "clips", SPEC.hard_clips, SPEC.seed, 1, seconds=6, hard=True)
    assert hard.frames.shape[:2] == (20, 12) and hard.audio.shape == (60, 96_000) and len(hard.events) == 60
    banks = [bank, hard]
    train(banks, tmp_path / "whole", tmp_path / "w1", SPEC, lambda *a: None)

    stops = iter([("encoders", 3), ("lookup", 3), ("language model", 3)])
    stop = next(stops)

    def report(phase, step, steps, values):
        nonlocal stop
        if (phase, step) == stop:
            stop = next(stops, None)
            raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            train(banks, tmp_path / "broken", tmp_path / "w2", SPEC, report)
    train(banks, tmp_path / "broken", tmp_path / "w2", SPEC, report)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert whole.keys() == resumed.keys() and len(whole) > 20
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    with pytest.raises(UserError, match="another recipe"):
        train(banks, tmp_path / "x", tmp_path / "w2", TrainSpec(seed=6), report)


def test_the_curve_shows_every_phase(tmp_path):
    log = tmp_path / "log.jsonl"
    phases = ("encoders", "lookup", "language model")
    lines = [{"phase": p, "step": i, "loss": 3.0 / i} for p in phases for i in range(1, 30)]
    log.write_text("".join(json.dumps(x) + "\n" for x in lines))
    picture = draw(log)
    assert picture.count("<polyline") == 3 and all(p in picture for p in phases)
