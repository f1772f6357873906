"""Causal tracing and sinks on the demo world, where it is known which modality decides."""

import json

import numpy as np
import pytest
import torch

from avcurate.attention.kinds import Kind
from avcurate.engines.base import Request, Sampling
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.transformers_engine import TransformersEngine
from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.tasks.probe.hub_tasks import ProbeSinks, ProbeTrace, shares_invented
from avcurate.tasks.probe.page import write_probe
from avcurate.tasks.probe.patching import Odds
from avcurate.tasks.probe.summaries_hubs import SinksSummary, effects
from avcurate.tasks.probe.trace import corrupted_request, mixed, spans
from tests import running


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


def test_effects_are_what_a_patch_gives_and_takes():
    # the two pairs that the release's ten samples come to, from probabilities made up to give them
    assert effects([0.2811, 0.3371], [0.2, 0.4]) == pytest.approx((8.11, 6.29))
    assert effects([0.2263, 0.3289], [0.2, 0.4]) == pytest.approx((2.63, 7.11))


def test_probability_is_the_greatest_over_steps_and_spellings():
    odds = Odds([[0, 1], [2]], rows=2)
    odds([0, 1], torch.tensor([[5.0, 0.0, 0.0], [0.0, 0.0, 5.0]]))
    # the first row has ended
    odds([1], torch.tensor([[0.0, 3.0, 0.0]]))
    one = torch.tensor([5.0, 0.0, 0.0]).softmax(0)
    two = torch.tensor([0.0, 3.0, 0.0]).softmax(0)
    assert odds.values[0] == pytest.approx([float(one[0]), float(one[2])])
    assert odds.values[1] == pytest.approx([float(two[1]), float(one[0])])


def test_windows_end_at_the_last_layer():
    assert spans(4, 0, 1) == [] and spans(4, 4, 1) == []
    assert spans(4, 2, 1) == [(0, 2), (1, 3), (2, 4)]
    assert spans(28, 10, 7) == [(0, 10), (7, 17), (14, 24), (18, 28)]


def test_a_clip_of_one_chunk_cannot_be_traced():
    a, v, t = int(Kind.AUDIO), int(Kind.VIDEO), int(Kind.TEMPLATE)
    assert mixed(torch.tensor([t, v, v, a, a, v, a, t]))
    assert not mixed(torch.tensor([t, v, v, a, a, t])) and not mixed(torch.tensor([t, a, a]))


def test_corruption_takes_what_it_says_and_keeps_sizes():
    audio = np.linspace(-0.5, 0.5, 100, dtype=np.float32)
    frames = np.full((2, 4, 4, 3), 9, dtype=np.uint8)
    request = Request("k", "p", audio, frames, 2.0, 1, 0, Sampling())
    zeroed = corrupted_request(request, ("audio",), "zero", 1)
    assert not zeroed.audio.any() and zeroed.frames is frames and zeroed.media_id != request.media_id
    noisy = corrupted_request(request, ("audio", "video"), "noise", 1)
    rms = [float(np.sqrt((x.astype(float) ** 2).mean())) for x in (audio, noisy.audio)]
    assert rms[1] == pytest.approx(rms[0], rel=0.3) and noisy.frames.shape == frames.shape
    again = corrupted_request(request, ("audio", "video"), "noise", 1)
    assert (again.audio == noisy.audio).all() and (again.frames == noisy.frames).all()
    assert corrupted_request(request, ("audio",), "mean", 1) is request


@pytest.mark.parametrize("task", ["trace", "sinks"])
def test_the_layout_in_which_nothing_can_be_seen_is_refused(engine, world, tmp_path, task):
    with pytest.raises(UserError, match="inside the video item"):
        probe(engine, world, tmp_path / "r", task, layout="separate")


@pytest.mark.slow
def test_effects_sit_at_the_tokens_of_the_modality_that_decides(engine, world, tmp_path):
    options = {"run.limit": 16, "sets": "all,audio,video", "window": 2}
    run = probe(engine, world, tmp_path / "r", "trace", **options)
    rows = running.rows_of(run, "probe_trace")
    gained = {"audio": [], "video": []}
    for row in rows:
        entries = row["probed"]
        corrupted = entries[0]["corrupted"]
        if corrupted not in gained:
            continue
        whole = {e["set"]: e for e in entries if (e["first"], e["end"]) in ((None, None), (0, 4))}
        # everything patched is the clean run, in words and in probability
        assert whole["all"]["text"] == whole["clean"]["text"]
        assert whole["all"]["restored"] == pytest.approx(whole["clean"]["whole"], abs=1e-5)
        assert whole["corrupt"]["restored"] == whole["corrupt"]["broken"]
        other = {"audio": "video", "video": "audio"}[corrupted]
        gained[corrupted].append([effects(whole[s]["restored"], whole[s]["broken"])[0] for s in (corrupted, other)])
        assert whole[corrupted]["answer"] == whole["clean"]["answer"]
        assert len([e for e in entries if e["set"] == "audio"]) == 1 + 3
    for values in gained.values():
        ours, theirs = np.array(values).mean(0)
        # a patch of the other modality may take from the clean answer, and does not give
        assert ours > 25 and theirs < 10
    summary = ProbeTrace().summarise(run)
    table = summary["tables"][0]
    assert table["columns"][:3] == ["corrupted", "tokens", "n"] and len(table["rows"]) >= 8
    assert summary["figures"]
    assert "Indirect effects" in ProbeTrace().page(run, summary).read_text()
    json.dumps(summary, allow_nan=False)


@pytest.mark.slow
def test_mean_embeddings_say_what_a_clip_of_one_sound_holds(engine, world, tmp_path):
    run = probe(engine, world, tmp_path / "r", "trace", **{"run.limit": 8, "how": "mean", "sets": "all"})
    counts = run.record()["stages"]["probe_trace"]
    # the demo's sounds and pictures are alike throughout, so that their mean still tells which they are
    assert counts["kept"] + sum(counts["filtered"].values()) == 8 and counts["filtered"]["same_answer"] >= 3
    for row in running.rows_of(run, "probe_trace"):
        entries = {e["set"]: e for e in row["probed"]}
        assert entries["all"]["text"] == entries["clean"]["text"] != entries["corrupt"]["text"]


@pytest.mark.slow
def test_tokens_one_by_one_and_planted_sinks(engine, world, tmp_path):
    run = probe(engine, world, tmp_path / "s", "sinks", **{"run.limit": 4})
    (found, *_) = [e for row in running.rows_of(run, "probe_sinks") for e in row["probed"]]
    # the embedded model parks no attention in a dimension of its own: under the papers' threshold it has no sinks
    assert found["sinks"] == [] and found["to_media"] > 0 and found["to_uni"] == 0
    low = probe(engine, world, tmp_path / "l", "sinks", **{"run.limit": 4, "tau": 0.5, "divide": 1})
    for row in running.rows_of(low, "probe_sinks"):
        (entry,) = row["probed"]
        groups = [s["group"] for s in entry["sinks"]]
        assert entry["sinks"] and abs(groups.count("uni") - groups.count("cross")) <= 2
        assert all(-1 <= s["mds"] <= 1 and 0 <= s["place"] < 1 for s in entry["sinks"])
        assert entry["to_uni"] + entry["to_cross"] <= entry["to_media"] + 1e-6
    summary = ProbeSinks().summarise(low)
    assert {t["title"] for t in summary["tables"]} == {"Sinks by group", "How sinks were identified"}
    # something is seen in the left half of the frame, and heard in the second half of the clip
    clips = sorted({r["media"] for r in running.rows_of(low, "probe_sinks")} | {f"{i.clip.name}.mp4" for i in world[1]})
    known = {"boxes": [{"at": 0, "box": [0, 0, 0.5, 1]}], "seconds": [[2, 4]]}
    table = tmp_path / "things.jsonl"
    table.write_text("".join(json.dumps({"clip": c, **known}) + "\n" for c in clips))
    things = probe(engine, world, tmp_path / "o", "sinks", **{"run.limit": 4, "tau": 0.5, "objects": table})
    for row in running.rows_of(things, "probe_sinks"):
        (entry,) = row["probed"]
        assert entry["objects"] == (entry["media"]["audio"] + entry["media"]["video"]) // 2
        assert 0 < entry["to_objects"] < entry["to_media"]
        heard = [s for s in entry["sinks"] if s["of"] == "audio"]
        assert all(s["object"] == (s["place"] >= 0.5) for s in heard)
    assert "object tokens" in str(ProbeSinks().summarise(things)["measures"])
    options = {"run.limit": 2, "tau": 0.5, "divide": 1, "sets": "sinks,rest,seen,heard,objects", "each": 16}
    options["objects"] = table
    traced = probe(engine, world, tmp_path / "t", "trace", **options)
    rows = running.rows_of(traced, "probe_trace")
    for row in rows:
        (each,) = [e for e in row["probed"] if e["set"] == "each"]
        positions = [p for t in each["tokens"] for p in t["positions"]]
        assert len(positions) == len(set(positions))
        assert all(len(t["positions"]) == len(t["groups"]) for t in each["tokens"])
        assert {g for t in each["tokens"] for g in t["groups"]} <= {"uni", "cross", "object", "rest"}
        patched = {e["set"]: e["patched"] for e in row["probed"]}
        assert patched["seen"] == 8 and patched["heard"] == 16 and patched["objects"] == 24
    assert rows
    assert {t["title"] for t in ProbeTrace().summarise(traced)["tables"]} >= {"Who holds the single effects"}


@pytest.mark.slow
def test_attention_is_set_against_what_captions_invent(engine, world, tmp_path):
    pytest.importorskip("simplemma")
    pytest.importorskip("PIL")
    folder, _ = world
    options = {"annotations": folder / "clips.csv", "format": "clips", "prompt": "caption@2", "run.limit": 6}
    options |= {"tau": 0.5, "divide": 1, "sampling.max_tokens": 48}
    # of the first clip something else is said than what the model says here
    lines = [{"clip": "demo_101_00000", "caption": "A dog and a cat.", "objects": ["dog"]}]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    running.run("hallucination", tmp_path / "h", {"captions": tmp_path / "captions.jsonl"})
    run = probe(engine, world, tmp_path / "s", "sinks", **options, invented=tmp_path / "h")
    summary = ProbeSinks().summarise(run)
    assert any("(6 left out)" in t["title"] for t in summary["tables"])
    page = ProbeSinks().page(run, summary).read_text()
    assert page.count('alt="Sinks on the frames and the waveform"') == 6
    assert shares_invented(RunDir(tmp_path / "h")) == {("demo_101_00000", "A dog and a cat."): 0.5}
    # the model's own captions, of which every other one invents all it names
    rows = running.rows_of(run, "probe_sinks")
    said = {(r["video_id"], r["probed"][0]["text"].strip()): float(i % 2) for i, r in enumerate(rows)}
    drawn = SinksSummary(run.record()["recipe"], said)
    for row in rows:
        drawn.add(row)
    (scatter,) = [f for f in drawn.figures() if f["kind"] == "scatter"]
    for series in scatter["series"]:
        key = {"cross-modal sinks": "to_cross", "uni-modal sinks": "to_uni", "object tokens": "to_objects"}[
            series["name"]
        ]
        entries = [r["probed"][0] for r in rows]
        assert series["points"] == [[e[key] / e["to_media"], float(i % 2)] for i, e in enumerate(entries)]
    table = drawn.tables()[0]
    assert "(0 left out)" in table["title"] and {r[1] for r in table["rows"]} == {"6"}
    assert "<circle" in write_probe(run, "probe-sinks", summary | {"figures": drawn.figures()}).read_text()
    with pytest.raises(UserError, match="not a run"):
        probe(engine, world, tmp_path / "x", "sinks", **options, invented=tmp_path)


@pytest.mark.slow
def test_sinks_are_drawn_where_they_lie(tmp_path):
    from PIL import Image

    from avcurate.media.decode import DecodedClip
    from avcurate.tasks.probe.sink_pictures import COLORS, TILE, WAVE, draw

    frames = np.full((4, 64, 64, 3), 128, np.uint8)
    clip = DecodedClip(frames, 2.0, np.zeros(32000, np.float32), 2.0, "")
    # two pairs of frames of 2 x 2 cells: the last cell of the second pair; and a moment three quarters into the sound
    place = {"position": 0, "object": False, "layers": 1, "peak": 1.0, "mds": 0.0, "attention": 0.0}
    sinks = [
        place | {"of": "video", "place": 7 / 8, "group": "cross"},
        place | {"of": "audio", "place": 6 / 8, "group": "uni", "object": True},
    ]
    draw(tmp_path / "s.jpg", clip, {"grid": [2, 2, 2], "media": {"video": 8, "audio": 8}, "sinks": sinks})
    picture = np.asarray(Image.open(tmp_path / "s.jpg").convert("RGB")).astype(int)
    assert picture.shape == (TILE + WAVE, 2 * TILE, 3)

    def near(color):
        wanted = [int(COLORS[color][i : i + 2], 16) for i in (1, 3, 5)]
        return np.argwhere(np.abs(picture - wanted).max(2) < 40)

    green, red, dot = near("cross"), near("uni"), near("object")
    assert green.min(0) == pytest.approx([TILE / 2, TILE * 1.5], abs=3)
    assert green.max(0) == pytest.approx([TILE - 1, 2 * TILE - 1], abs=3)
    assert (red[:, 0] >= TILE).all() and red[:, 1].mean() == pytest.approx(2 * TILE * 6.5 / 8, abs=3)
    assert dot[:, 1].mean() == pytest.approx(2 * TILE * 6.5 / 8, abs=3)
