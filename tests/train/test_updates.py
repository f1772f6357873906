"""Several optimiser steps on one generation of rollouts, rates that warm up, audio alone, shards without labels."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")

from avcurate.errors import UserError
from avcurate.tasks.train.log import read_metrics
from avcurate.train.core.objective import clipped_share
from tests.train.jobs import job_of, run_training
from tests.train.test_trainer import weights


def test_a_token_is_clipped_where_its_surrogate_gives_no_gradient():
    ratio = torch.tensor([[1.3, 0.7, 1.0, 9.0], [1.3, 0.7, 1.0, 9.0]], requires_grad=True)
    advantage, mask = torch.tensor([1.0, -1.0]), torch.tensor([[1.0, 1, 1, 0], [1, 1, 1, 0]])
    assert float(clipped_share(ratio, advantage, mask)) == pytest.approx(2 / 6)
    from avcurate.train.core.objective import clipped_surrogate

    (clipped_surrogate(ratio, advantage) * mask).sum().backward()
    assert int((ratio.grad[:, :3] == 0).sum()) == 2


@pytest.mark.slow
def test_later_updates_are_off_policy_and_a_training_resumes_where_rollouts_are_sampled(shards, tmp_path):
    many = {
        "prompts": 4,
        "group": 4,
        "micro_batch": 4,
        "updates": 4,
        "save_every": 4,
        "steps": 8,
        "learning_rate": 2e-2,
    }
    whole = run_training(job_of(shards, tmp_path / "whole", **many))
    lines = read_metrics(tmp_path / "whole/metrics.jsonl")
    assert [line["step"] for line in lines] == [*range(1, 9)]
    # the first step of four is on its own rollouts: nothing is clipped
    clipped = [line["clip/share"] for line in lines]
    assert clipped[0] == clipped[4] == 0 and max(clipped) > 0
    # rollouts are sampled and rewarded once for four steps
    assert ["reward/total" in line for line in lines] == [True, False, False, False] * 2

    def cut(step, steps, values):
        if step == 6:
            raise KeyboardInterrupt

    job = job_of(shards, tmp_path / "cut", **many)
    with pytest.raises(KeyboardInterrupt):
        run_training(job, cut)
    a, b = weights(whole), weights(run_training(job))
    assert all(torch.equal(a[k], b[k]) for k in a)
    with pytest.raises(UserError, match="do not divide into 3 updates"):
        run_training(job_of(shards, tmp_path / "x", prompts=4, group=4, micro_batch=4, updates=3, save_every=3))
    with pytest.raises(UserError, match="not a multiple of updates"):
        job_of(shards, tmp_path / "y", updates=3, save_every=4)


@pytest.mark.slow
def test_the_rate_warms_up_over_a_share_of_the_steps(shards, tmp_path):
    run_training(job_of(shards, tmp_path / "r", steps=4, max_tokens=6, warmup=0.5))
    rates = [line["learning_rate"] for line in read_metrics(tmp_path / "r/metrics.jsonl")]
    assert rates == pytest.approx([0.0, rates[-1] / 2, rates[-1], rates[-1]])


@pytest.mark.slow
def test_mapo_without_mask_and_attention_loss_is_grpo(shards, tmp_path):
    """Also with its ε in the prefactor, and whatever the entropies' temperature."""
    grpo = run_training(job_of(shards, tmp_path / "g", steps=2, max_tokens=24))
    bare = {"mapo": {"mask": "none", "eta": 0.0, "gate": "none", "entropy_temperature": 0.7, "layers": 2}}
    mapo = run_training(job_of(shards, tmp_path / "m", steps=2, max_tokens=24, algo="mapo", **bare))
    a, b = weights(grpo), weights(mapo)
    assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-5


@pytest.fixture
def heard(shards, world, tmp_path):
    """Shards of sounds without a picture and questions without a PEM, as ``export --unlabelled`` writes them."""
    from avcurate.media.extract import extract

    folder, _ = world
    out = tmp_path / "heard"
    shutil.copytree(shards, out)
    rows = pq.read_table(out / "data/train-00000.parquet").to_pylist()[:8]
    (tmp_path / "sounds").mkdir()
    for row in rows:
        name = row["media"].replace(".mp4", ".wav")
        extract(folder / "clips" / row["media"], tmp_path / "sounds" / name, "audio")
        row |= {"media": name, "pem": None, "media_sha256": None}
    schema = pq.read_schema(out / "data/train-00000.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema), out / "data/train-00000.parquet")
    facts = json.loads((out / "shards.json").read_text())
    facts |= {"labelled": False, "media": str(tmp_path / "sounds"), "processor": {"model": None}}
    (out / "shards.json").write_text(json.dumps(facts))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["grpo", "mapo"])
def test_sound_alone_without_labels_trains(heard, tmp_path, algo):
    over = {"rewards": {"accuracy": 1.0}, "prompt": "cot@1", "mapo": {"modality": "audio", "layers": 2, "gate": "none"}}
    run_training(job_of(heard, tmp_path / "r", steps=1, max_tokens=30, algo=algo, **over))
    (line,) = read_metrics(tmp_path / "r/metrics.jsonl")
    assert line["media/unreadable"] == 0 and line["grad_norm"] > 0
    assert algo == "grpo" or line["delta_h/mean_abs"] > 0
    with pytest.raises(UserError, match="has no PEMs, and the recipe rewards preference"):
        run_training(job_of(heard, tmp_path / "x", steps=1))
