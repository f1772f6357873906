"""The judge: replies read or counted, failing servers, agreement with humans, and drops between runs."""

import json

import numpy as np
import pytest

from avcurate.engines.base import Sampling
from avcurate.errors import UserError
from avcurate.recipe import ModelSpec
from avcurate.review.items import PAIR_KEYS, all_items
from avcurate.review.verdicts import add_verdict
from avcurate.runner.rundir import RunDir
from avcurate.tasks.judge.summary import compare_judged, summarise_judge
from tests import running
from tests.engines.fake_server import Plan, serve


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def scripted(tmp_path, replies):
    """``replies``: (row, modality) to texts."""
    lines = [{"question_id": str(r), "setting": m, "responses": t} for (r, m), t in replies.items()]
    return {"model.engine": "scripted", "model.model": str(write(tmp_path / "script.jsonl", lines))}


def judged(score, reason="because"):
    return json.dumps({"reason": reason, "score": score})


ROWS = [
    {"clip": "a", "caption": "A dog barks.", "audio_caption": "dog", "video_caption": ["a yard"], "human_audio": 0.9},
    {"clip": "b", "caption": "A cat.", "audio_caption": ["rain", "storm"], "human_audio": "0.2"},
    {"clip": "c", "caption": "Rain.", "audio_caption": "rain", "video_caption": "street", "human_audio": 0.6},
    {"clip": "d", "caption": "", "audio_caption": "x"},
    {"clip": "e", "caption": "No truth."},
    {"clip": "f", "caption": "Odd.", "audio_caption": 3},
    {"clip": "g", "caption": "Odd.", "audio_caption": "x", "human_audio": "good"},
]


def test_scores_spread_and_replies_that_cannot_be_read(tmp_path):
    replies = {
        (1, "audio"): [judged(0.8), "<think>0.1?</think> " + judged(1)],
        (1, "video"): ["The caption is fine.", "Score: 5"],
        (2, "audio"): [judged(0.1), judged(7)],
        (3, "audio"): ["```json\n" + judged(0.5, "a {brace} in it") + "\n```", '{"score": true}'],
        (3, "video"): [judged(0.25), judged(0.75)],
    }
    changes = {"captions": write(tmp_path / "c.jsonl", ROWS), "n": 2, **scripted(tmp_path, replies)}
    tally = running.run("judge", tmp_path / "r", changes)["judge"]
    assert tally.kept == 3
    assert tally.dead == {"caption_empty": 1, "truth_missing": 1, "truth_not_text": 1, "human_score_not_a_number": 1}
    rows = {r["clip"]: r for t in RunDir(tmp_path / "r").parts("judge").rows() for r in t.to_pylist()}
    assert rows["a"]["audio_scores"] == [0.8, 1.0] and rows["a"]["audio_score"] == pytest.approx(0.9)
    assert rows["a"]["audio_spread"] == pytest.approx(0.1) and rows["a"]["audio_reasons"] == ["because"] * 2
    # no readable reply means no score, and the replies are stored
    assert rows["a"]["video_score"] is None and rows["a"]["video_unparsed"] == ["The caption is fine.", "Score: 5"]
    assert rows["b"]["audio_scores"] == [0.1, None] and rows["b"]["audio_score"] == 0.1
    assert rows["b"]["video_scores"] == [] and rows["c"]["video_score"] == 0.5
    summary = summarise_judge(RunDir(tmp_path / "r"))
    assert (summary["audio"]["judgements"], summary["audio"]["unparsed"]) == (6, 2)
    assert (summary["video"]["unparsed"], summary["video"]["unscored_captions"]) == (2, 1)
    # humans rank a > c > b, and so does the judge
    assert summary["audio"]["human"]["spearman"]["value"] == pytest.approx(1)
    assert summary["audio"]["human"]["kendall"]["value"] == pytest.approx(1)


def test_the_drop_from_factual_to_counterfactual(tmp_path):
    rows = [{"clip": f"{i}", "caption": "x", "audio_caption": "y", "video_caption": "z"} for i in range(30)]
    for name, heard in (("factual", 0.8), ("counterfactual", 0.4)):
        replies = {(i + 1, m): [judged(heard if m == "audio" else 0.9)] for i in range(30) for m in ("audio", "video")}
        changes = {"captions": write(tmp_path / "c.jsonl", rows), **scripted(tmp_path, replies)}
        running.run("judge", tmp_path / name, changes)
    compared = compare_judged(RunDir(tmp_path / "counterfactual"), RunDir(tmp_path / "factual"))
    assert compared["audio"]["drop"] == pytest.approx(0.5) and compared["audio"]["interval"] == pytest.approx(
        [-0.4, -0.4]
    )
    assert compared["video"]["drop"] == pytest.approx(0)


def test_transient_server_failures_are_retried_and_a_dead_server_is_resumed_from(tmp_path):
    rows = [{"clip": f"{i}", "caption": "x", "audio_caption": "y"} for i in range(150)]
    captions = write(tmp_path / "c.jsonl", rows)

    def judge(url):
        options = {"timeout_s": 1.0, "attempts": 3, "max_wait_s": 0.05}
        changes = {"captions": captions, "model.engine": "server", "model.model": "tiny", "model.urls": [url]}
        return running.run("judge", tmp_path / "r", {**changes, "model.options": options, "run.part_size": 64})

    # answers some captions, then stays down
    plan = Plan(503, "slow", *["ok"] * 64, *[503] * 400)
    with serve(plan) as url, pytest.raises(UserError, match="no server answered"):
        judge(url)
    with serve(after := Plan()) as url:
        tally = judge(url)["judge"]
    # "answer 17" is prose: counted, not scored
    assert tally.kept == 150 and plan.served + after.served < 150 + 64 and plan.served >= 64
    summary = summarise_judge(RunDir(tmp_path / "r"))
    assert summary["audio"]["unparsed"] == 150 and summary["audio"]["mean"] is None
    assert after.bodies[0]["response_format"]["json_schema"]["schema"]["required"] == ["reason", "score"]


def test_a_text_model_answers_the_same_in_a_batch_and_refuses_media(text_model):
    from avcurate.engines.base import Failure, ListSource, Request
    from avcurate.engines.open import open_engine

    engine = open_engine(ModelSpec(model=str(text_model), max_sequences=8))
    engine.setup()
    sampling = Sampling(temperature=1.0, max_tokens=12)
    requests = [Request(f"{i}", "word " * (i + 1), None, None, 1.0, 3, 50 * i, sampling) for i in range(4)]
    together = {r.key: [x.text for x in r.responses] for r in engine.generate(ListSource(requests))}
    alone = {r.key: [x.text for x in r.responses] for a in requests for r in engine.generate(ListSource([a]))}
    assert together == alone and len(set(map(tuple, together.values()))) == 4
    with_audio = Request("m", "x", np.zeros(16000, np.float32), None, 1.0, 1, 0, sampling)
    (refused,) = engine.generate(ListSource([with_audio]))
    assert isinstance(refused, Failure) and refused.reason == "text_only_model"
    engine.close()


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    """A tiny language model with random weights, with the embedded model's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from avcurate.engines.checkpoint import EMBEDDED_FOLDER

    folder = tmp_path_factory.mktemp("text")
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_text_models_are_recognized_by_their_configuration(text_model):
    from avcurate.engines.checkpoint import Checkpoint

    assert Checkpoint(str(text_model)).reads_text_alone and not Checkpoint("embedded").reads_text_alone


def test_references_of_several_records_are_merged_and_scores_are_finite(tmp_path):
    truth = [
        {"clip": "a", "audio_caption": "dog"},
        {"clip": "a", "audio_caption": ["a bark"]},
        {"clip": "a", "video_caption": "yard"},
    ]
    rows = [{"clip": "a", "caption": "x"}, {"clip": "a", "caption": "y", "human_audio": float("nan")}]
    replies = {(1, "audio"): [judged(1)], (1, "video"): [judged(1)]}
    model = scripted(tmp_path, replies)
    changes = {"captions": write(tmp_path / "c.jsonl", rows), "truth": write(tmp_path / "truth.jsonl", truth)}
    tally = running.run("judge", tmp_path / "r", {**changes, **model})["judge"]
    assert tally.dead == {"human_score_not_a_number": 1}
    (row,) = [r for t in RunDir(tmp_path / "r").parts("judge").rows() for r in t.to_pylist()]
    assert row["audio_references"] == ["dog", "a bark"] and row["video_references"] == ["yard"]


def test_what_people_said_of_captions_is_their_human_score(tmp_path, tiny_clip):
    """Three reviewers of three captions that were asked about sound alone."""
    from tests.attack.cases import Steady

    (tmp_path / "clips").mkdir()
    for name in "abc":
        (tmp_path / f"clips/{name}.mp4").write_bytes(tiny_clip.read_bytes())
    (tmp_path / "list.csv").write_text("clip,label\n" + "".join(f"{n}.mp4,dog\n" for n in "abc"))
    changes = {"clips": tmp_path / "list.csv", "media": tmp_path / "clips", "ask": "hear", "n": 1}
    running.run("caption", tmp_path / "said", changes, engine=Steady(lambda r: "A dog barks.", broken=False))
    captions = tmp_path / "said/captions/av.jsonl"
    rows = [json.loads(line) for line in captions.read_text().splitlines()]
    truth = write(
        tmp_path / "truth.jsonl", [{"clip": r["clip"], "audio_caption": "dog", "video_caption": "dog"} for r in rows]
    )
    changes = {"captions": captions, "truth": truth, "verdicts": tmp_path / "said"}
    engine = {"engine": Steady(lambda r: judged(0.5), broken=False)}
    with pytest.raises(UserError, match="has no verdicts"):
        running.run("judge", tmp_path / "none", changes, **engine)
    items = all_items(RunDir(tmp_path / "said"), 0)
    yes, no, unsure = PAIR_KEYS.values()
    for reviewer, verdicts in {"x": (yes, no, unsure), "y": (yes, yes, unsure), "z": (yes, no, no)}.items():
        for item, verdict in zip(items, verdicts, strict=True):
            add_verdict(RunDir(tmp_path / "said"), reviewer, item, verdict, 1.0)
    running.run("judge", tmp_path / "judged", changes, **engine)
    scored = {r["clip"]: r for t in RunDir(tmp_path / "judged").parts("judge").rows() for r in t.to_pylist()}
    by_item = {i.media.stem: scored[i.media.stem]["human_audio"] for i in items}
    assert list(by_item.values()) == pytest.approx([1, 1 / 3, 0])
    assert all(r["human_video"] is None for r in scored.values())
    summary = summarise_judge(RunDir(tmp_path / "judged"))
    assert summary["audio"]["human"] is not None and summary["video"]["human"] is None
