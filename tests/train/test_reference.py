"""The frozen copy in half the memory: weights rounded, rotary frequencies not."""

import pytest
import torch

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")

from avcurate.tasks.train.log import read_metrics
from avcurate.train.trainer import in_format
from tests.train.jobs import job_of, run_training


def test_only_weights_are_rounded():
    class Rotary(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)
            self.register_buffer("inv_freq", torch.tensor([1 / 3]), persistent=False)

    model = in_format(Rotary(), "bfloat16")
    assert model.linear.weight.dtype == torch.bfloat16 and model.inv_freq.dtype == torch.float32
    assert float(model.inv_freq) == float(torch.tensor(1 / 3))


@pytest.mark.slow
def test_a_reference_in_bfloat16_is_near_the_policy_at_the_start(shards, tmp_path):
    for name, form in (("a", "float32"), ("b", "bfloat16")):
        run_training(job_of(shards, tmp_path / name, steps=1, max_tokens=24, beta=0.1, lora_rank=0, reference=form))
    whole, half = (read_metrics(tmp_path / n / "metrics.jsonl")[0]["kl"] for n in ("a", "b"))
    assert whole == pytest.approx(0, abs=1e-9) and 0 < half < 1e-3
