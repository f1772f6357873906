"""Probes on the demo world, where the truth is known, and their arithmetic by hand."""

import json

import numpy as np
import pytest
import torch

from avcurate.attention.cut import Cut
from avcurate.attention.kinds import Kind
from avcurate.engines.base import Reply, Response
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.errors import UserError
from avcurate.prompts import get_prompt
from avcurate.report.plots import Curves, Heat, drawn, series_colors, ticks
from avcurate.runner.rundir import RunDir
from avcurate.scheduler.spec import CONDITIONS, AskSpec
from avcurate.tasks.probe.bases import base_of
from avcurate.tasks.probe.knockout import windows
from avcurate.tasks.probe.lens import first_tokens, said
from avcurate.tasks.probe.masking import Choice, MaskingStage, block_scores, choices_of
from avcurate.tasks.probe.preference import forms, place_of_answer
from avcurate.tasks.probe.shift import ShiftStage, shift_of
from avcurate.tasks.probe.summary import stretches
from avcurate.tasks.probe.task import ProbeAttention, ProbeKnockout
from tests import running

COT = get_prompt("cot@1")


@pytest.fixture(scope="module")
def engine():
    """The embedded model, loaded once for every run of this file."""

    class Loaded(TransformersEngine):
        def setup(self):
            if not hasattr(self, "model"):
                super().setup()

        def close(self):
            pass

    return Loaded(Checkpoint("embedded"))


def probe(engine, world, out, name, **changes):
    folder, _ = world
    given = {"annotations": folder / "benchmark.json", "media": folder / "clips", **changes}
    running.run(f"probe-{name}", out, given, engine=engine)
    return RunDir(out)


def rows_of(run, name):
    return running.rows_of(run, f"probe_{name}")


@pytest.mark.slow
def test_attention_is_shared_among_what_is_there_and_rises_to_what_decides(engine, world, tmp_path):
    run = probe(engine, world, tmp_path / "r", "attention", **{"run.limit": 18, "prompt": "separate-then-fuse"})
    for row in rows_of(run, "attention"):
        by_condition = {e["condition"]: e for e in row["probed"]}
        assert list(by_condition) == ["a", "v", "av"]
        for name, entry in by_condition.items():
            mean = np.array(entry["mean"])
            assert mean.shape == (4, len(entry["tokens"]), len(Kind)) and np.allclose(mean.sum(-1), 1, atol=1e-5)
            assert (np.array(entry["peak"]) >= mean - 1e-6).all()
            assert mean[..., Kind.AUDIO].any() == (name != "v") and mean[..., Kind.VIDEO].any() == (name != "a")
            assert "".join(entry["tokens"]).startswith("<mod>") and Kind.FUSION in entry["kinds"]
            inside = "".join(t for t, k in zip(entry["tokens"], entry["kinds"], strict=True) if k == Kind.AUDIO_TRACE)
            assert inside.startswith("<a>") and inside.rstrip().endswith("</a>")
    summary = ProbeAttention().summarise(run)
    measures = {m["measure"]: m["mean"] for m in summary["measures"]}
    assert measures["av: share on sound, Audio questions"] > measures["av: share on sound, Visual questions"]
    assert measures["av: share on picture, Audio questions"] < measures["av: share on picture, Visual questions"]
    named = [m for m in measures if "during <sum>" in m]
    assert named and all(0 < measures[m] < 1 for m in named)
    page = ProbeAttention().page(run, summary).read_text()
    assert page.count("<svg viewBox") == len(summary["figures"]) and "border-bottom-color:rgba" in page
    again = probe(engine, world, tmp_path / "s", "attention", **{"run.limit": 6, "against": run.root})
    compared = ProbeAttention().summarise(again)["measures"]
    assert all(m["against"]["n"] <= 6 for m in compared if "against" in m) and any("against" in m for m in compared)


@pytest.mark.slow
def test_cutting_a_modality_destroys_what_it_decides_and_leaves_the_rest(engine, world, tmp_path):
    changes = {"cuts": "rest->audio,rest->video", "run.limit": 36}
    run = probe(engine, world, tmp_path / "r", "knockout", **changes)
    table = ProbeKnockout().summarise(run)["tables"][0]
    place = {c: i for i, c in enumerate(table["columns"])}
    right = {
        (r[place["cut"]].split(":")[0], r[place["questions"]]): float(r[place["right under it"]].rstrip("%"))
        for r in table["rows"]
    }
    assert right["rest->audio", "Audio"] < 50 and right["rest->video", "Visual"] < 50
    assert right["rest->audio", "Visual"] > 80 and right["rest->video", "Audio"] > 80


def test_windows_slide_over_the_layers_and_end_at_the_last():
    rules = [Cut.parse("response->audio"), Cut.parse("query->video:1-99")]
    assert [(str(c), c.end) for c in windows(rules, 4, 0, 1)] == [("response->audio:0-4", 4), ("query->video:1-4", 4)]
    assert [(c.first, c.end) for c in windows(rules[1:], 28, 10, 9)] == [(1, 11), (10, 20), (18, 28)]
    with pytest.raises(UserError, match="cuts nothing"):
        windows([Cut.parse("response->audio:30-40")], 28, 0, 1)
    slid = [(c.first, c.end) for c in windows(rules[:1], 28, 10, 7)]
    assert slid == [(0, 10), (7, 17), (14, 24), (18, 28)]
    assert [(c.first, c.end) for c in windows(rules[:1], 4, 9, 1)] == [(0, 4)]


@pytest.mark.slow
def test_what_is_heard_is_recalled_above_chance(engine, world, tmp_path):
    words = {}
    for item in world[1]:
        clip = item.clip
        words[clip.name] = {"clip": clip.name, "audio": sorted(set(clip.sound.timbres)), "video": [clip.picture.shape]}
    concepts = tmp_path / "concepts.jsonl"
    concepts.write_text("".join(json.dumps(w) + "\n" for w in words.values()))
    changes = {"concepts": concepts, "run.limit": 24, "top": 1, "conditions": "a,av"}
    run = probe(engine, world, tmp_path / "r", "lens", **changes)
    hits = {True: [], False: []}
    for row in rows_of(run, "lens"):
        for entry in row["probed"]:
            assert len(entry["at_audio"]) == len(entry["layers"]) == 4 and len(entry["at_response"][0]) == len(
                entry["tokens"]
            )
            # what the last layer decodes to is the greedy response
            assert entry["at_response"][-1] == entry["tokens"] or "<|" in entry["at_response"][-1][-1]
            for c in entry["concepts"]:
                if c["of"] == "audio":
                    hits[c["present"]].append(any(c["in_audio"]))
    assert np.mean(hits[True]) > np.mean(hits[False]) + 0.1
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"clip": "x", "audio": "siren"}\n')
    with pytest.raises(UserError, match="record 1: it needs"):
        probe(engine, world, tmp_path / "b", "lens", concepts=bad)


def test_first_tokens_of_a_word_are_whole_enough(engine):
    engine.setup()
    tokenizer = engine.processor.tokenizer
    assert {tokenizer.decode([i]) for i in first_tokens(tokenizer, "siren")} == {" siren"}
    assert first_tokens(tokenizer, "The siren") == first_tokens(tokenizer, "Siren") == first_tokens(tokenizer, "siren")
    assert not first_tokens(tokenizer, "2")
    assert said("ring", "a red Ring.") and not said("ring", "a string of rings") and said("狗", "一只狗在叫")


def reading_of(engine, world, tmp_path, base="without-audio"):
    from avcurate.media.decode import DecodeSpec, decode

    folder, items = world
    stage = ShiftStage(
        engine, AskSpec(COT, 1, sampling=greedy()), [CONDITIONS["av"]], tmp_path, base=base, dtype="auto"
    )
    stage.setup()
    item = items[0]
    clip = decode(folder / "clips" / f"{item.clip.name}.mp4", DecodeSpec(max_frames=32, max_pixels=50176))
    row = {"question_id": "q", "media": "x", "question": item.draft.text, "choices": list(item.draft.choices)}
    (answered,) = stage.answers(row | {"answer": item.draft.answer}, clip)
    return stage, stage.reading(answered), answered


def greedy():
    from avcurate.engines.base import Sampling

    return Sampling(temperature=0.0, max_tokens=120)


def test_the_shift_from_itself_is_none_and_greedy_tokens_have_rank_one(engine, world, tmp_path):
    stage, reading, answered = reading_of(engine, world, tmp_path)
    itself = base_of(str(Checkpoint("embedded").folder), "auto")
    itself.setup()
    kl, rank = shift_of(reading.logits(), itself.logits(reading), reading.ids[0])
    assert kl.max() < 1e-6 and (rank == 1).all() and len(kl) == len(answered.ids)
    less, more = (stage.base.logits(reading), reading.logits())
    kl, rank = shift_of(more, less, reading.ids[0])
    p, q = more.double().log_softmax(-1), less.double().log_softmax(-1)
    assert torch.allclose(kl.double(), (p.exp() * (p - q)).sum(-1), atol=1e-5)
    by_hand = [1 + int((row > row[i]).sum()) for row, i in zip(less, reading.ids[0], strict=True)]
    assert rank.tolist() == by_hand and kl.max() > 0.01
    assert reading.log_probability() == pytest.approx(float(p.gather(-1, reading.ids[0, :, None]).mean()), abs=1e-5)


def test_a_larger_vocabulary_is_trimmed():
    ours, base = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 1.0, 0.0, 9.0]])
    kl, rank = shift_of(ours, base, torch.tensor([1]))
    p, q = ours.log_softmax(-1), base[:, :3].log_softmax(-1)
    assert float(kl) == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-6) and int(rank) == 2


@pytest.mark.slow
def test_text_and_vision_models_that_share_the_tokenizer_are_bases(engine, world, tmp_path):
    import transformers

    import avcurate.engines.torchvision_cpu  # noqa: F401

    _, reading, answered = reading_of(engine, world, tmp_path)
    tokenizer = engine.processor.tokenizer
    torch.manual_seed(0)
    size = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    text = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**size, **heads))
    text.save_pretrained(tmp_path / "text")
    tokenizer.save_pretrained(tmp_path / "text")
    for name, base in (("text", tmp_path / "text"), ("sees", vision_model(tmp_path / "sees", tokenizer, size | heads))):
        other = base_of(str(base), "auto")
        other.setup()
        logits = other.logits(reading)
        assert logits.shape[0] == len(answered.ids) and torch.isfinite(logits).all(), name
        kl, _ = shift_of(reading.logits(), logits, reading.ids[0])
        assert kl.min() > 0
        other.close()
    # the frames matter to the one that sees
    seeing = base_of(str(tmp_path / "sees"), "auto")
    seeing.setup()
    whole = seeing.logits(reading)
    reading.request = type(reading.request)(**{**vars(reading.request), "frames": reading.request.frames[::-1].copy()})
    assert not torch.allclose(whole, seeing.logits(reading))


def vision_model(folder, tokenizer, sizes):
    """A random Qwen2.5-VL with its real processor classes around the embedded model's tokenizer."""
    import transformers

    ids = {n: tokenizer.convert_tokens_to_ids(t) for n, t in (("video", "<|VIDEO|>"), ("image", "<|IMAGE|>"))}
    start, end = (tokenizer.convert_tokens_to_ids(t) for t in ("<|vision_bos|>", "<|vision_eos|>"))
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
    config = transformers.Qwen2_5_VLConfig(
        text_config=sizes | {"rope_parameters": rope},
        vision_config={
            "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32,
            "fullatt_block_indexes": [0],
        },
        video_token_id=ids["video"], image_token_id=ids["image"], vision_start_token_id=start, vision_end_token_id=end,
    )  # fmt: skip
    transformers.Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    template = (
        "{% for m in messages %}{% for c in m.content %}{% if c.type == 'video' %}<|vision_bos|><|VIDEO|><|vision_eos|>"
        "{% else %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}"
    )
    processor = transformers.Qwen2_5_VLProcessor(
        transformers.Qwen2VLImageProcessor(),
        tokenizer,
        transformers.Qwen2VLVideoProcessor(min_pixels=784, max_pixels=12_544),
        chat_template=template,
    )
    processor.video_token, processor.video_token_id = "<|VIDEO|>", ids["video"]
    processor.image_token, processor.image_token_id = "<|IMAGE|>", ids["image"]
    processor.save_pretrained(folder)
    return folder


def test_where_an_answer_is_and_how_it_is_written():
    tokens = ["<think>", "so", "</think>", "<answer>", " red", " ring", "</answer>", "<|end|>"]
    assert place_of_answer(tokens, COT) == (4, " red ring")
    assert place_of_answer(["<answer>", "B", "</", "answer", ">"], COT) == (1, "B")
    twice = ["<answer>", "a", "</answer>", " no ", "<answer>", "b", "</answer>"]
    assert place_of_answer(twice, COT) == (5, "b")
    assert place_of_answer(["<think>", "never", " closed"], COT) is None
    assert place_of_answer(["", " B", "."], get_prompt("classify@1")) == (1, " B.")
    assert forms(" B.", ["red", "blue"], "blue", "red") == [" B", " A"]
    assert forms("B. blue", ["red", "blue"], "blue", "red") == ["B", "A"]
    assert forms("b)", ["red", "blue"], "blue", "red") == ["b", "a"]
    assert forms("Blue is it", ["red", "blue"], "blue", "red") == ["blue", "red"]
    assert forms("I think it is red", ["red", "blue"], "blue", "red") is None
    assert place_of_answer(["<answer>", "(", "B", ") blue", "</answer>"], COT) == (2, "B) blue")
    assert place_of_answer(["İ<answer>", "red", "</answer>"], COT) == (1, "red")
    assert place_of_answer(["I", " think", " B"], COT) is None
    assert forms("red ring", ["red ring", "bell"], "bell", "red ring") == ["bell", "red ring"]


@pytest.mark.slow
def test_preference_counts_only_conflicts_and_leans_to_the_answer_in_the_end(engine, world, tmp_path):
    run = probe(engine, world, tmp_path / "r", "preference", **{"run.limit": 30, "prompt": "separate-then-fuse"})
    counts = run.record()["stages"]["probe_preference"]
    assert counts["filtered"].get("no_conflict", 0) > 0 and counts["kept"] > 5
    agreed = []
    for row in rows_of(run, "preference"):
        (entry,) = row["probed"]
        assert entry["audio_says"] != entry["video_says"]
        expected = {entry["audio_says"]: "audio", entry["video_says"]: "video", None: "unreadable"}
        assert entry["follows"] == expected.get(entry["answer"], "neither")
        if entry["margin"] and entry["follows"] in ("audio", "video"):
            agreed.append((entry["margin"][-1] > 0) == (entry["follows"] == "audio"))
    assert agreed and np.mean(agreed) == 1.0


def test_blocks_of_sound_are_scored_by_the_tokens_in_them():
    scores = block_scores(np.array([1.0, 2.0, 3.0, 4.0]), 16_000, 0.5)
    assert scores.tolist() == [3.0, 7.0]
    assert block_scores(np.ones(3), 16_001, 1.0).tolist() == [3.0, 0.0]
    choices = choices_of(np.array([0.1, 0.9, 0.5, 0.2]), (0.5, 0.01), 2, seed=3)
    by_way = {(c.way, c.share, c.draw): c.blocks for c in choices}
    assert by_way["top", 0.5, 0] == (1, 2) and by_way["low", 0.5, 0] == (0, 3)
    assert by_way["top", 0.01, 0] == (1,) and all(len(b) == 2 for k, b in by_way.items() if k[1] == 0.5)
    assert choices == choices_of(np.array([0.1, 0.9, 0.5, 0.2]), (0.5, 0.01), 2, seed=3)


def test_what_is_silenced_is_what_was_chosen_and_another_engine_may_answer(engine, world, tmp_path):
    from avcurate.media.decode import DecodeSpec, decode

    heard = []

    class Other(TransformersEngine):
        def __init__(self):
            self.name = "other"

        def identity(self):
            return {"engine": "other"}

        def generate(self, source):
            while (r := source.take(True)) is not None:
                heard.append(r.audio)
                yield Reply(r.key, (Response(0, "<answer>none</answer>", "stop", 1),), -1, -1, -1)

    folder, items = world
    item = items[0]
    options = {"shares": (0.25,), "draws": 1, "block": 0.5, "last": 5, "answering": Other()}
    stage = MaskingStage(engine, AskSpec(COT, 1, sampling=greedy()), [CONDITIONS["av"]], tmp_path, **options)
    stage.answering.setup = lambda: None
    engine.setup()
    super(MaskingStage, stage).setup()
    clip = decode(folder / "clips" / f"{item.clip.name}.mp4", DecodeSpec(max_frames=32, max_pixels=50176))
    row = {"question_id": "q", "media": "x", "question": item.draft.text, "choices": list(item.draft.choices)}
    entries = stage.examine(row | {"answer": item.draft.answer}, clip)
    assert [e["way"] for e in entries] == ["whole", "top", "low", "random"]
    assert np.array_equal(heard[0], clip.audio) and not any(e["correct"] for e in entries)
    for audio, entry in zip(heard[1:], entries[1:], strict=True):
        silent = np.flatnonzero((audio == 0) & (clip.audio != 0))
        assert entry["seconds"] == pytest.approx(1.0, abs=0.51) and len(silent) <= entry["seconds"] * 16_000 + 1
        kept = audio != 0
        assert np.array_equal(audio[kept], clip.audio[kept])
    spans = list(stage._spans(Choice("top", 0.5, 0, (1, 7)), 60_000))
    assert spans == [(8_000, 16_000), (56_000, 60_000)]
    assert stage.identity()["answering"] == {"engine": "other"}
    with pytest.raises(UserError, match="tokens can only be hidden in the model that is read"):
        MaskingStage(engine, AskSpec(COT, 1), [CONDITIONS["av"]], tmp_path, silence="tokens", **options)


@pytest.mark.slow
def test_hiding_all_tokens_of_the_sound_takes_what_it_decides_and_no_more(engine, world, tmp_path):
    options = {"shares": "1.0", "draws": 1, "silence": "tokens", "run.limit": 24}
    rows = rows_of(probe(engine, world, tmp_path / "r", "masking", **options), "masking")
    right = {"Audio": [], "Visual": []}
    for row in rows:
        whole, top, low, _ = row["probed"]
        assert top["text"] == low["text"] and top["seconds"] == pytest.approx(row["duration"], abs=0.1)
        if row["stated_modality"] in right:
            right[row["stated_modality"]].append((whole["correct"], top["correct"]))
    heard, seen = (np.mean(right[k], 0) for k in ("Audio", "Visual"))
    assert heard[0] > 0.9 and seen[0] > 0.9, (heard, seen)
    assert heard[1] < 0.6 and seen[1] > 0.7, (heard, seen)


def test_an_engine_that_cannot_be_looked_into_is_refused(world, tmp_path):
    folder, _ = world
    changes = {"annotations": folder / "benchmark.json", "media": folder / "clips"}
    with pytest.raises(UserError, match="engine 'server' does not let it"):
        running.run(
            "probe-attention", tmp_path / "r", changes | {"model.engine": "server", "model.urls": ["http://x/v1"]}
        )
    with pytest.raises(UserError, match="no group 'nothing'"):
        running.run("probe-knockout", tmp_path / "r", changes | {"cuts": "nothing->audio"})
    with pytest.raises(UserError, match="no base 'without-smell'"):
        running.run("probe-shift", tmp_path / "r", changes | {"base": "without-smell"})
    with pytest.raises(UserError, match="no sound to silence under v"):
        running.run("probe-masking", tmp_path / "r", changes | {"conditions": "v,av"})
    for wrong in ({"shares": "5,10"}, {"shares": "0"}):
        with pytest.raises(UserError, match="shares"):
            running.run("probe-masking", tmp_path / "r", changes | wrong)
    with pytest.raises(UserError, match="conditions"):
        running.run("probe-preference", tmp_path / "r", changes | {"conditions": "av"})


def test_figures_hold_their_values_and_are_drawn_inside_their_frame():
    curves = Curves("t", "x", "y")
    for x, values in ((0, (1.0, 3.0)), (1, (2.0, 2.0, float("nan")))):
        for v in values:
            curves.add("s", x, v)
    figure = curves.figure()
    (series,) = figure["series"]
    assert series["y"] == [2.0, 2.0] and series["n"] == [2, 2] and series["low"][1] == series["high"][1] == 2.0
    assert series["low"][0] < 1.0 < 3.0 < series["high"][0]
    shown = drawn(figure)
    left, top, right, bottom = shown["frame"]
    assert all(left <= x <= right and top <= y <= bottom for x, y in shown["drawn"][0]["dots"])
    # the interval from two rows is cut at the frame, and does not stretch it; one from many rows is shown whole
    assert float(shown["y_ticks"][-1][1]) <= 2.5 < series["high"][0]
    band = [tuple(map(float, p.split(","))) for p in shown["drawn"][0]["band"].split()]
    assert all(top <= y <= bottom for _, y in band)
    many = Curves("t", "x", "y")
    for v in (1.0, 3.0, 0.0, 4.0, 2.0):
        many.add("s", 0, v)
    assert float(drawn(many.figure())["y_ticks"][-1][1]) >= many.figure()["series"][0]["high"][0]
    heat = Heat("t", "x", "y")
    heat.add("a", "1", 0.5)
    heat.add("b", "2", 1.0)
    assert heat.figure()["values"] == [[0.5, None], [None, 1.0]]
    assert [c[2] for c in drawn(heat.figure())["cells"]] == [0.5, 0.0, 0.0, 1.0]
    numbers = Heat("t", "x", "y")
    for column in ("12.5", "2.5", "7.5"):
        numbers.add("a", column, float(column))
    assert numbers.figure()["columns"] == ["2.5", "7.5", "12.5"] and numbers.figure()["values"] == [[2.5, 7.5, 12.5]]
    for names in (
        ["with", "without audio"],
        ["sound", "sound, absent (chance)", "picture", "picture, absent (chance)"],
    ):
        assert len(set(series_colors(names))) == len(names)
    short = list(stretches(np.array([1.0, 3.0])))
    assert len(short) == 20 and [v for _, v in short] == [1.0] * 10 + [3.0] * 10
    assert np.mean([v for _, v in stretches(np.arange(40.0))]) == 19.5
    assert drawn(Curves("empty", "x", "y").figure())["drawn"] == []
    assert ticks(0.0, 0.93) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] and ticks(3, 3)[0] <= 3


def test_the_group_of_a_probe_has_its_commands():
    from typer.testing import CliRunner

    from avcurate.cli.app import app

    listed = CliRunner().invoke(app, ["probe", "--help"])
    assert listed.exit_code == 0 and "knockout" in listed.stdout
    helped = CliRunner().invoke(app, ["probe", "masking", "--help"])
    assert helped.exit_code == 0 and "--answering" in helped.stdout
    assert CliRunner().invoke(app, ["probe", "nothing"]).exit_code == 2


def test_concepts_come_from_object_sets_and_evidence_as_they_are(tmp_path):
    from avcurate.tasks.probe.lens import Concepts

    file = tmp_path / "c.jsonl"
    rows = [
        {"clip": "a.mp4", "objects": ["dog", "car"]},
        {"clip": "b", "heard": ["siren"], "seen": ["ring"], "exhaustive": "both"},
        {"video_id": "c", "audio": ["bell"], "video": []},
    ]
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    concepts = Concepts(file)

    def present(video, media):
        found = concepts.of({"question_id": "q", "video_id": video, "media": media})
        return {(w, of) for w, of, there in found if there}

    assert present("a", "a.mp4") == {("dog", "video"), ("car", "video")}
    assert present("x", "folder/b.mkv") == {("siren", "audio"), ("ring", "video")}
    assert present("c", "c.mp4") == {("bell", "audio")} and present("d", "d.mp4") == set()
    file.write_text(json.dumps({"clip": "a", "objects": "dog"}) + "\n")
    with pytest.raises(UserError, match="record 1: it needs video_id"):
        Concepts(file)
