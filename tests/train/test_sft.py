"""The supervised baseline: which response is the target, what the loss reads, and that it is learned."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")

from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.errors import UserError
from avcurate.media.cache import ClipCache
from avcurate.tasks.train.log import read_metrics
from avcurate.train.algorithms.sft import OmniCollator, pick_target
from avcurate.train.media import Rows
from avcurate.train.omni import Omni
from avcurate.train.recipe import SftSpec
from avcurate.train.shards import read_shards, sft_columns
from tests.train.jobs import TrainJob, load_train, run_training

SMALL = {"algo": "sft", "prompts": 4, "micro_batch": 2, "steps": 4, "save_every": 2, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def shards_with_responses(shards, tmp_path_factory):
    """The shards with responses under audio and video, as exports have them."""
    out = tmp_path_factory.mktemp("shards_with_responses")
    (out / "data").mkdir()
    (out / "shards.json").write_text((shards / "shards.json").read_text())
    table = pq.read_table(shards / "data/train-00000.parquet")
    texts = [[f"<think>Way {i}.</think><answer>{a}</answer>" for i in range(4)] for a in table["answer"].to_pylist()]
    responses = [[{"seed": i, "text": t, "finish_reason": "stop", "tokens": 9} for i, t in enumerate(x)] for x in texts]
    table = table.append_column("av_responses", pa.array(responses))
    table = table.append_column("av_correct", pa.array([[False, True, True, False]] * len(texts)))
    pq.write_table(table, out / "data/train-00000.parquet")
    return out


def test_the_target_is_one_of_the_right_responses_by_the_questions_own_seed(shards_with_responses):
    rows = read_shards(shards_with_responses, columns=sft_columns()).rows
    picked = [pick_target(r, 0) for r in rows]
    assert {p.split(".")[0][-5:] for p in picked} == {"Way 1", "Way 2"}
    assert picked == [pick_target(r, 0) for r in rows] and picked != [pick_target(r, 1) for r in rows]
    assert [pick_target(r, 0) for r in reversed(rows)] == picked[::-1]
    assert pick_target(rows[0] | {"av_correct": [False] * 4}, 0) is None
    cut = [r | {"finish_reason": "length"} for r in rows[0]["av_responses"]]
    assert pick_target(rows[0] | {"av_responses": cut}, 0) is None


def test_targets_may_come_from_one_setting_and_be_wrong():
    stop = {"finish_reason": "stop"}
    row = {"question_id": "q", "v_responses": [{"text": "guessed", **stop}], "v_correct": [False]}
    assert pick_target(row, 0, SftSpec(setting="v")) is None
    assert pick_target(row, 0, SftSpec(setting="v", only_right=False)) == "guessed"
    assert pick_target(row | {"v_responses": None, "v_correct": None}, 0, SftSpec(setting="v")) is None


def test_the_loss_is_on_the_target_alone_and_media_are_there(shards_with_responses, tmp_path):
    engine = TransformersEngine(Checkpoint("embedded"))
    engine.setup()
    shards = read_shards(shards_with_responses, columns=sft_columns())
    recipe = load_train("train-demo-sft")
    clips = ClipCache(shards.media, recipe.media.decoding(), 2)
    items = [{"row": r, "target": t} for r, t in zip(shards.rows[:2], ("short", "a longer target"), strict=True)]
    batch = OmniCollator(Omni(engine), recipe, Rows(clips, tmp_path / "dead.jsonl"), items)(items)
    clips.close()
    for row, item in enumerate(items):
        target_ids = batch["labels"][row][batch["labels"][row] != -100].tolist()
        assert engine.processor.tokenizer.decode(target_ids) == item["target"] + "<|im_end|>"
        where = (batch["labels"][row] != -100).nonzero().flatten()
        assert torch.equal(batch["input_ids"][row][where], batch["labels"][row][where])
        assert batch["attention_mask"][row][where].all()
    assert batch["input_features"].shape[0] == 2 and batch["pixel_values_videos"].shape[0] > 0
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 8])
def test_sft_learns_its_targets_resumes_exactly_and_logs_to_tensorboard(shards_with_responses, tmp_path, rank):
    def job(out, **fields):
        recipe = load_train("train-demo-sft", {**SMALL, "lora_rank": rank})
        return TrainJob(shards_with_responses, tmp_path / out, recipe, **fields)

    whole = run_training(job("whole", report_to=("tensorboard",)))
    lines = read_metrics(tmp_path / "whole/metrics.jsonl")
    assert lines[3]["loss"] < lines[0]["loss"]
    assert any(tmp_path.rglob("events.out.tfevents*"))

    def cut(step, steps, values):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(job("cut"), cut)
    resumed = run_training(job("cut"))
    from safetensors.torch import load_file

    expected, actual = (load_file(p / "model.safetensors") for p in (whole, resumed))
    assert all(torch.equal(expected[k], actual[k]) for k in expected)


def test_shards_without_right_responses_are_refused(shards_with_responses, shards, tmp_path):
    out = tmp_path / "wrong"
    (out / "data").mkdir(parents=True)
    (out / "shards.json").write_text(json.dumps(json.loads((shards_with_responses / "shards.json").read_text())))
    table = pq.read_table(shards_with_responses / "data/train-00000.parquet").drop(["av_correct"])
    table = table.append_column("av_correct", pa.array([[False] * 4] * table.num_rows))
    pq.write_table(table, out / "data/train-00000.parquet")
    with pytest.raises(UserError, match="no question in the shards has a right, finished response under AV"):
        run_training(TrainJob(out, tmp_path / "o", load_train("train-demo-sft", SMALL)))
