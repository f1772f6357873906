"""Training for real on the embedded model: it hears in the loss, resumes exactly, and what it saves answers.

Runs where TRL is installed (`make train-test`): the vLLM of the other tests requires another transformers.
"""

import json

import pytest
import torch

pytest.importorskip("trl", reason="the extra `train` is not installed beside vLLM; `make train-test` runs these")


from avcurate.engines.base import ListSource, Request, Sampling
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.errors import RecipeChanged, UserError
from avcurate.media.decode import DecodeSpec, decode
from avcurate.runner.rundir import RunDir
from avcurate.tasks.train.log import read_metrics
from avcurate.train.media import read_dead
from avcurate.train.omni import Omni, log_probabilities
from tests.train.jobs import SMALL, TrainJob, job_of, load_train, run_training


def weights(folder):
    from safetensors.torch import load_file

    return {k: v for f in sorted(folder.glob("*.safetensors")) for k, v in load_file(f).items()}


@pytest.fixture(scope="module")
def engine():
    engine = TransformersEngine(Checkpoint("embedded"))
    engine.setup()
    return engine


def requests_of(world, count, n=1):
    folder, items = world
    sampling = Sampling(temperature=1.0, max_tokens=40)
    requests = []
    for item in items[:count]:
        clip = decode(folder / "clips" / f"{item.clip.name}.mp4", DecodeSpec(max_frames=32, max_pixels=50176))
        requests.append(
            Request(f"{item.number}", item.draft.text, clip.audio, clip.frames, clip.fps, n, item.number, sampling)
        )
    return requests


def test_the_loss_sees_and_hears_what_the_rollout_did(engine, world):
    """Log-probabilities of the training forward are those the rollout sampled from; without media they are not."""
    omni, requests = Omni(engine), requests_of(world, 3)
    written = omni.rollouts(requests)
    longest = max(map(len, written))
    ids, mask = torch.zeros(3, longest, dtype=torch.long), torch.zeros(3, longest)
    for i, response in enumerate(written):
        ids[i, : len(response)], mask[i, : len(response)] = torch.tensor(response), 1
    with torch.no_grad():
        logits, _ = omni.forward(engine.model, requests, ids, mask)
        alone, _ = omni.forward(engine.model, requests[1:2], ids[1:2], mask[1:2])
    assert torch.allclose(logits[1][mask[1].bool()], alone[0][mask[1].bool()], atol=2e-4)
    # greedy decoding again, one token at a time through the cache, picks what the training forward finds likeliest
    from dataclasses import replace

    greedy = [replace(r, sampling=Sampling(temperature=0.0, max_tokens=12)) for r in requests]
    again = omni.rollouts(greedy)
    ids = torch.tensor([x[:6] for x in again])
    with torch.no_grad():
        logits, _ = omni.forward(engine.model, greedy, ids, torch.ones_like(ids, dtype=torch.float))
        deaf, _ = omni.forward(
            engine.model, [replace(r, audio=None) for r in greedy], ids, torch.ones_like(ids, dtype=torch.float)
        )
    banned = [engine.model.config.audio_token_id, engine.model.config.video_token_id]
    logits[..., banned] = -torch.inf
    assert (logits.argmax(-1) == ids).all()
    heard, unheard = (log_probabilities(x, ids) for x in (logits, deaf))
    assert (heard - unheard).abs().max() > 0.05


def test_the_reference_reads_no_placeholder(engine, world):
    omni, (request,) = Omni(engine), requests_of(world, 1)
    seen = {}

    class Spy:
        def __call__(self, **inputs):
            seen.update(inputs)
            return engine.model(**inputs)

        def __getattr__(self, name):
            if name in ("module", "get_base_model"):
                raise AttributeError(name)
            return getattr(engine.model, name)

    spy = Spy()

    ids = torch.tensor([[5, 6, 7]])
    entropies = omni.entropy_without(spy, [request], ids, torch.ones(1, 3), "audio")
    tokens, config = omni.tokens, engine.model.config
    around = [config.audio_start_token_id, config.audio_end_token_id]
    assert entropies.shape == (1, 3) and "input_features" not in seen and "pixel_values_videos" in seen
    assert not torch.isin(seen["input_ids"], torch.tensor([tokens.audio, *around])).any()
    assert (seen["input_ids"] == tokens.video).any()
    # a prompt rebuilt without a modality is the prompt with its tokens removed by id
    whole = engine.inputs([request])
    heard = torch.isin(whole["input_ids"][0], torch.tensor([tokens.audio, *around]))
    assert torch.equal(seen["input_ids"][0, :-3], whole["input_ids"][0, ~heard])
    seen.clear()
    omni.entropy_without(spy, [request], ids, torch.ones(1, 3), "both")
    assert "pixel_values_videos" not in seen and not (seen["input_ids"] == tokens.video).any()


@pytest.mark.slow
def test_a_training_that_was_cut_off_ends_with_the_same_weights(shards, tmp_path):
    whole = run_training(job_of(shards, tmp_path / "whole"))
    assert not torch.backends.cuda.cudnn_sdp_enabled()

    def cut(step, steps, values):
        if step == 3:
            raise KeyboardInterrupt

    job = job_of(shards, tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        run_training(job, cut)
    resumed = run_training(job)
    a, b = weights(whole), weights(resumed)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    expected, actual = (read_metrics(tmp_path / n / "metrics.jsonl") for n in ("whole", "cut"))
    names = ("reward/total", "kl", "grad_norm", "completion/length")
    assert [[x.get(n) for n in names] for x in expected[:4]] == [[x.get(n) for n in names] for x in actual[:4]]
    assert [x["step"] for x in actual[:4]] == [1, 2, 3, 4]
    # the reference stays what it was: the policy has left it
    assert expected[0]["kl"] == 0 and expected[3]["kl"] > 1e-7
    with pytest.raises(RecipeChanged, match="learning_rate"):
        run_training(job_of(shards, tmp_path / "cut", learning_rate=1e-3))


@pytest.mark.slow
@pytest.mark.parametrize("over", [{}, {"lora_rank": 4, "maam": True}], ids=["all weights", "lora and maam"])
def test_mapo_trains_and_what_it_saves_answers(shards, world, tmp_path, over):
    job = job_of(shards, tmp_path / "r", algo="mapo", steps=2, **over)
    folder = run_training(job)
    lines = read_metrics(tmp_path / "r/metrics.jsonl")
    for name in ("delta_h/mean_abs", "omega/max", "mass/quarter_1", "mass/quarter_4", "loss/attention", "gate/share"):
        assert all(line[name] > 0 for line in lines[:2]), name
    assert all(0 < line["mass/quarter_1"] < 1 and line["gate/fallback"] == 0 for line in lines[:2])
    assert all(("maam/whole" in line) == ("maam" in over) for line in lines[:2])
    before, after = weights(Checkpoint("embedded").folder), weights(folder)
    assert before.keys() == after.keys()
    moved = [k for k in before if not torch.equal(before[k].float(), after[k].float())]
    assert moved and (not over or all("layers" in k and "_proj" in k for k in moved))
    trained = TransformersEngine(Checkpoint(str(folder)))
    trained.setup()
    (reply,) = trained.generate(ListSource(requests_of(world, 1)))
    assert reply.responses[0].tokens > 5 and reply.audio_tokens > 0 and reply.video_tokens > 0
    trained.close()


def test_checkpointed_layers_rerun_as_they_ran_before(engine, world):
    """On a GPU layers are rerun in ``backward``, long after the forward pass."""
    import copy

    omni, requests = Omni(engine), requests_of(world, 2)
    ids, mask = torch.full((2, 5), 7), torch.ones(2, 5)
    grads = []
    for checkpointing in (False, True):
        model = copy.deepcopy(engine.model).train()
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        logits, mass = omni.forward(model, requests, ids, mask, ("audio", frozenset({1})))
        (log_probabilities(logits, ids).sum() + mass.sum()).backward()
        grads.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys() and any("q_proj" in n for n in grads[0])
    assert all(torch.allclose(g, grads[1][n], atol=1e-5) for n, g in grads[0].items())


def test_no_media_marker_can_be_sampled(engine):
    tokens = Omni(engine).tokens
    config = engine.model.config
    around = {config.audio_start_token_id, config.audio_end_token_id, config.vision_start_token_id}
    assert {tokens.audio, tokens.video, *around} <= set(engine.banned)


def test_what_cannot_be_trained_says_so(shards, tmp_path):
    with pytest.raises(UserError, match="fewer than a step's 500"):
        run_training(job_of(shards, tmp_path / "few", prompts=500))
    with pytest.raises(UserError, match="MAAM masks separate-then-fuse"):
        run_training(job_of(shards, tmp_path / "cot", maam=True, prompt="cot@1"))
    with pytest.raises(UserError, match="is not a multiple of micro_batch"):
        run_training(job_of(shards, tmp_path / "r", micro_batch=3))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no shards"):
        run_training(TrainJob(tmp_path / "empty", tmp_path / "o", load_train("train-demo-stage-1")))
    assert json.loads((shards / "shards.json").read_text())["fps"] == 2.0


def test_rollouts_of_one_question_are_processed_once_and_repeated_exactly(engine, world):
    from dataclasses import replace

    from avcurate.train.omni import repeated

    a, b, c = requests_of(world, 3)
    b, c = replace(b, frames=None), replace(c, audio=None)
    distinct, owner = [a, b, c], [0, 0, 2, 1, 1, 2]
    expected = engine.inputs([distinct[i] for i in owner])
    inputs = repeated(engine.inputs(distinct), distinct, owner, engine.family)
    assert inputs.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(torch.as_tensor(inputs[name]), torch.as_tensor(value)), name


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["grpo", "sft"])
def test_a_clip_that_cannot_be_read_is_recorded_and_does_not_stop_training(shards, tmp_path, algo):
    """Half the clips are gone; the other questions are trained on."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    broken = tmp_path / "shards"
    (broken / "data").mkdir(parents=True)
    (broken / "shards.json").write_text((shards / "shards.json").read_text())
    rows = pq.read_table(shards / "data/train-00000.parquet").slice(0, 4)
    rows = rows.set_column(
        rows.column_names.index("media"),
        "media",
        [["gone.mp4" if i % 2 else m.as_py() for i, m in enumerate(rows["media"])]],
    )
    text = {"text": "<think>x</think><answer>y</answer>", "finish_reason": "stop"}
    rows = rows.append_column("av_responses", pa.array([[text]] * 4)).append_column(
        "av_correct", pa.array([[True]] * 4)
    )
    pq.write_table(rows, broken / "data/train-00000.parquet")
    sizes = {"prompts": 4, "micro_batch": 1} if algo == "sft" else {"prompts": 4}
    recipe = load_train("train-demo-stage-1", {**SMALL, "algo": algo, **sizes, "max_tokens": 8, "steps": 2})
    run_training(TrainJob(broken, tmp_path / "out", recipe))
    dead = read_dead(tmp_path / "out/dead.jsonl")
    assert {d["question_id"] for d in dead} == {rows["question_id"][i].as_py() for i in (1, 3)} and len(dead) == 2
    assert all(d["reason"] == "media_missing" and d["media"] == "gone.mp4" for d in dead), dead
    lines = read_metrics(tmp_path / "out/metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2]
    assert algo == "sft" or all(line["media/unreadable"] == 0.5 for line in lines[:2])
    none = rows.set_column(rows.column_names.index("media"), "media", [["gone.mp4"] * 4])
    pq.write_table(none, broken / "data/train-00000.parquet")
    with pytest.raises(UserError, match="can be read"):
        run_training(TrainJob(broken, tmp_path / "none", recipe))


@pytest.mark.slow
def test_a_question_that_holds_a_placeholder_is_left_out_by_name(shards, tmp_path):
    import pyarrow.parquet as pq

    odd = tmp_path / "shards"
    (odd / "data").mkdir(parents=True)
    (odd / "shards.json").write_text((shards / "shards.json").read_text())
    rows = pq.read_table(shards / "data/train-00000.parquet").slice(0, 5)
    asked = [q.as_py() for q in rows["question"]]
    asked[2] = "What does <|AUDIO|> mean?"
    pq.write_table(
        rows.set_column(rows.column_names.index("question"), "question", [asked]), odd / "data/train-00000.parquet"
    )
    recipe = load_train("train-demo-stage-1", {**SMALL, "prompts": 4, "max_tokens": 8, "steps": 1})
    run_training(TrainJob(odd, tmp_path / "out", recipe))
    (dead,) = read_dead(tmp_path / "out/dead.jsonl")
    assert dead["question_id"] == rows["question_id"][2].as_py() and dead["reason"] == "special_token_in_question"


@pytest.mark.slow
def test_a_nan_gradient_stops_training_before_it_is_saved(shards, tmp_path, monkeypatch):
    """The step is named with its questions, no checkpoint holds such weights, and the same command resumes."""
    import pyarrow.parquet as pq
    from transformers import TrainerCallback

    from avcurate.train.parts import Parts

    class Poison(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **_):
            if state.global_step == 2:
                next(p for p in model.parameters() if p.requires_grad).register_hook(lambda g: g * float("nan"))

    finished = Parts.finished

    def poisoned(self, trainer):
        trainer.add_callback(Poison())
        return finished(self, trainer)

    recipe = load_train("train-demo-stage-1", {**SMALL, "max_tokens": 8, "steps": 4, "save_every": 1})
    job = TrainJob(shards, tmp_path / "out", recipe)
    monkeypatch.setattr(Parts, "finished", poisoned)
    with pytest.raises(UserError, match=r"grad_norm is nan at step 3, after the questions") as e:
        run_training(job)
    known = {q for f in (shards / "data").glob("*.parquet") for q in pq.read_table(f)["question_id"].to_pylist()}
    named = set(e.value.message.split("questions ")[1].rstrip(".").split(", "))
    assert named and named <= known and len(named) <= recipe.prompts
    saved = {p.name for p in (tmp_path / "out/checkpoints").glob("checkpoint-*")}
    assert saved == {"checkpoint-1", "checkpoint-2"} and not (tmp_path / "out/model").exists()
    monkeypatch.setattr(Parts, "finished", finished)
    assert (run_training(job) / "model.safetensors").is_file()


def test_shards_without_a_column_are_a_clear_error(shards, tmp_path):
    import pyarrow.parquet as pq

    with pytest.raises(UserError, match="has no column"):
        run_training(TrainJob(shards, tmp_path / "out", load_train("train-demo-sft", {"steps": 1})))
    broken = tmp_path / "shards"
    (broken / "data").mkdir(parents=True)
    (broken / "shards.json").write_text((shards / "shards.json").read_text())
    whole = next((shards / "data").glob("train-*.parquet"))
    for data in (b"", b"PAR1", whole.read_bytes()[:-20], whole.read_bytes()[: whole.stat().st_size // 2]):
        (broken / "data/train-00000.parquet").write_bytes(data)
        with pytest.raises(UserError, match="cannot be read"):
            run_training(TrainJob(broken, tmp_path / "out", load_train("train-demo-stage-1")))
    pq.write_table(pq.read_table(whole).drop_columns(["pem"]), broken / "data/train-00000.parquet")
    with pytest.raises(UserError, match="has no column 'pem'"):
        run_training(TrainJob(broken, tmp_path / "out", load_train("train-demo-stage-1")))
    for facts in ("[]", "3", "null", '{"schema_version": 3}'):
        (broken / "shards.json").write_text(facts)
        with pytest.raises(UserError):
            run_training(TrainJob(broken, tmp_path / "out", load_train("train-demo-stage-1")))


@pytest.mark.slow
def test_a_training_finishes_and_verifies_and_its_model_is_checked(shards, tmp_path):
    from avcurate.errors import RunLocked
    from avcurate.runner.status import run_status
    from avcurate.runner.verify import discard, verify_run
    from avcurate.store.lock import writer_lock

    job = job_of(shards, tmp_path / "out", steps=1, max_tokens=8)
    with writer_lock(tmp_path / "out"), pytest.raises(RunLocked):
        run_training(job)
    weights = run_training(job) / "model.safetensors"
    run = RunDir(tmp_path / "out")
    assert run_status(run)["state"] == "finished"
    report = verify_run(run)
    assert report["files"] >= 3 and report["damaged"] == []
    whole = weights.read_bytes()
    weights.write_bytes(weights.read_bytes()[:-8] + b"damaged!")
    assert [d["path"] for d in verify_run(run)["damaged"]] == ["model/model.safetensors"]
    discard(run, verify_run(run))
    # from the last checkpoint, without a step
    assert run_training(job) == weights.parent and weights.read_bytes() == whole
    assert verify_run(run)["damaged"] == [] and len(read_metrics(tmp_path / "out/metrics.jsonl")) == 1


@pytest.mark.slow
def test_a_reward_and_an_algorithm_of_another_package_train(shards, tmp_path, monkeypatch):
    """Those of docs/examples/plugin, found by entry points."""
    from avcurate.train.names import ALGORITHMS, REWARDS
    from tests.example_package import install_example

    install_example(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "brevity" in REWARDS and "reinforce" in ALGORITHMS
    over = {"algo": "reinforce", "rewards": {"preference": 1.0, "brevity": 0.5}, "options": {"brevity_words": 2}}
    run_training(job_of(shards, tmp_path / "r", steps=2, **over))
    lines = read_metrics(tmp_path / "r/metrics.jsonl")
    assert all(0 < x["reward/brevity"] <= 1 for x in lines[:2])
    # a step whose groups are all alike has no gradient
    assert any(x["grad_norm"] > 0 for x in lines[:2])
    expected = [x["reward/preference"] + 0.5 * x["reward/brevity"] for x in lines[:2]]
    assert [x["reward/total"] for x in lines[:2]] == pytest.approx(expected)


def test_unknown_names_and_old_ones_are_a_clear_error():
    for over, says in (
        ({"algo": "ppo"}, "there is no algorithm 'ppo'"),
        ({"rewards": {"beauty": 1.0}}, "there is no reward 'beauty'"),
        ({"accuracy_weight": 1.0}, "accuracy_weight is now written rewards"),
        ({"rewards": {"accuracy": float("nan")}}, "finite"),
    ):
        with pytest.raises(UserError, match=says):
            load_train("train-demo-stage-1", over)
