"""Damaged checkpoints, shards and models: training ends as it would have without, or raises a clear error."""

import json
import logging
import random
import shutil

import pytest

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")

from avcurate.errors import AvcurateError, UserError
from avcurate.tasks.train.log import read_metrics
from tests.attack.damages import DAMAGES
from tests.conftest import LONG
from tests.train.jobs import TrainJob, load_train, run_training

TINY = {"prompts": 1, "group": 2, "micro_batch": 2, "max_tokens": 6, "steps": 4, "save_every": 1}
SAMPLE = 12


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def cut_off(step, steps, values):
    if step == 3:
        raise KeyboardInterrupt


def damaged(path, damage):
    change, before = DAMAGES[damage], path.read_bytes()
    path.unlink() if change is None else path.write_bytes(change(before))


def sampled(cases, seed):
    return cases if LONG else random.Random(seed).sample(cases, SAMPLE)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_an_earlier_one_taken(shards, tmp_path, caplog, capsys):
    whole = weights(run_training(TrainJob(shards, tmp_path / "whole", load_train("train-demo-stage-1", TINY))))
    job = TrainJob(shards, tmp_path / "out", load_train("train-demo-stage-1", TINY))
    with pytest.raises(KeyboardInterrupt):
        run_training(job, cut_off)
    shutil.copytree(job.out, tmp_path / "kept")
    newest = tmp_path / "kept/checkpoints/checkpoint-2"
    cases = [(f.name, d) for f in sorted(newest.iterdir()) for d in DAMAGES]
    cases = sampled(cases, "checkpoint")
    for name, damage in cases:
        shutil.rmtree(job.out)
        shutil.copytree(tmp_path / "kept", job.out)
        damaged(job.out / "checkpoints/checkpoint-2" / name, damage)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert weights(run_training(job)) == whole, (name, damage)
        # a missing manifest means a checkpoint that was never finished
        assert "checkpoint-2 is damaged" in caplog.text or (name, damage) == ("files.json", "gone"), (name, damage)
        assert [line["step"] for line in read_metrics(job.out / "metrics.jsonl")] == [1, 2, 3, 4]
    with capsys.disabled():
        print(f"\n{len(cases)} damages to checkpoints: each noticed, training ended with the same weights")


@pytest.mark.slow
def test_without_any_whole_checkpoint_training_starts_over(shards, tmp_path):
    whole = weights(run_training(TrainJob(shards, tmp_path / "whole", load_train("train-demo-stage-1", TINY))))
    job = TrainJob(shards, tmp_path / "out", load_train("train-demo-stage-1", TINY))
    with pytest.raises(KeyboardInterrupt):
        run_training(job, cut_off)
    for folder in (job.out / "checkpoints").glob("checkpoint-*"):
        (folder / "optimizer.pt").write_bytes(b"")
    assert weights(run_training(job)) == whole


def shards_of(shards, folder):
    """The shards as `avcurate export` writes them: with checksums."""
    from avcurate.store.manifest import digests

    shutil.copytree(shards, folder)
    facts = json.loads((folder / "shards.json").read_text())
    (folder / "shards.json").unlink()
    (folder / "shards.json").write_text(json.dumps(facts | {"files": digests(folder)}))
    return folder


def test_damaged_shards_are_a_clear_error(shards, tmp_path, capsys):
    kept = shards_of(shards, tmp_path / "kept")
    recipe = load_train("train-demo-stage-1", TINY)
    cases = [(f.relative_to(kept), d) for f in sorted(kept.rglob("*")) if f.is_file() for d in DAMAGES]
    for name, damage in cases:
        folder = tmp_path / "shards"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, folder)
        damaged(folder / name, damage)
        with pytest.raises(AvcurateError):
            run_training(TrainJob(folder, tmp_path / "out", recipe))
    with capsys.disabled():
        print(f"\n{len(cases)} damages to shards: each a clear error")
    assert len(cases) >= 10


@pytest.mark.parametrize(
    "facts",
    [
        {"fps": "two"},
        {"fps": 0},
        {"fps": None},
        {"rows": 3},
        {"processor": "embedded"},
        {"processor": {}},
        {"media": 3},
        {"media": None},
        {"files": ["a"]},
        {"files": {"data/gone.parquet": "00"}},
        {"split": []},
        {"thresholds": None},
        {"schema_version": "3"},
    ],
    ids=str,
)
def test_odd_facts_are_a_clear_error(shards, tmp_path, facts):
    folder = tmp_path / "s"
    shutil.copytree(shards, folder)
    whole = json.loads((folder / "shards.json").read_text())
    (folder / "shards.json").write_text(json.dumps(whole | facts))
    with pytest.raises(UserError):
        run_training(TrainJob(folder, tmp_path / "out", load_train("train-demo-stage-1", TINY)))


@pytest.mark.parametrize("damage", sorted(DAMAGES))
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "processor_config.json"])
def test_a_damaged_model_is_a_clear_error(shards, tmp_path, name, damage):
    from avcurate.engines.checkpoint import EMBEDDED_FOLDER

    model = tmp_path / "model"
    shutil.copytree(EMBEDDED_FOLDER, model)
    if name == "model.safetensors" and damage.endswith("changed"):
        pytest.skip("other numbers are another model; safetensors has no checksum")
    damaged(model / name, damage)
    recipe = load_train("train-demo-stage-1", TINY | {"model": str(model), "steps": 1})
    with pytest.raises(AvcurateError):
        run_training(TrainJob(shards, tmp_path / "out", recipe))


def test_an_adapter_given_as_a_model_is_a_clear_error(shards, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    recipe = load_train("train-demo-stage-1", TINY | {"model": str(tmp_path / "adapter")})
    with pytest.raises(UserError, match="adapter"):
        run_training(TrainJob(shards, tmp_path / "out", recipe))
