"""Pairs respect every limit, lose no clip, and in the demo world change every answer."""

import csv
import json

import numpy as np
import pytest

from avcurate.demo.build import draw_world
from avcurate.demo.questions import TYPE_BY_NAME
from avcurate.engines.embedder import Embedder
from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.tasks.pair.summary import summarise_pair
from tests import running
from tests.conftest import ffmpeg


class WordVectors(Embedder):
    """One dimension per word, so cosines can be computed by hand."""

    name = "words"
    calls = 0

    def identity(self):
        return {"embedder": "words"}

    def setup(self):
        pass

    def embed(self, texts):
        type(self).calls += len(texts)
        vectors = np.zeros((len(texts), 64), np.float32)
        for i, t in enumerate(texts):
            for w in t.split():
                vectors[i, sum(map(ord, w)) % 64] += 1
        return vectors


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def pair(tmp_path, rows, name="r", embedder=None, **over):
    changes = {"captions": write(tmp_path / "captions.jsonl", rows), **over}
    tallies = running.run("pair", tmp_path / name, changes, embedder=embedder or WordVectors())
    run = RunDir(tmp_path / name)
    return tallies, [r for t in run.parts("pair").rows() for r in t.to_pylist()], run


ROWS = [
    {"clip": "x_000001", "audio_caption": "dog barks", "video_caption": "red car", "answer": "bark"},
    {"clip": "x_000002", "audio_caption": "rain falls"},
    {"clip": "y_000001", "audio_caption": ["dog", "dog barks"]},
    {"clip": "z_000001", "audio_caption": "piano", "video_caption": "dog"},
    {"clip": "v_000001", "audio_caption": "whispering"},
    {"clip": "w_000001", "audio_caption": "two cars", "split": "test"},
]


def test_limits_hold_and_every_clip_is_a_pair_or_has_a_reason(tmp_path):
    tallies, pairs, run = pair(tmp_path, ROWS)
    by = {p["clip"]: p for p in pairs}
    assert tallies["captioned"].kept == 6 and tallies["pair"].total == 6
    # x_1: not x_2 (same source), not y (near). z: not y, nor x_1 (its picture is a dog)
    assert by["x_000001"]["donor"] in ("z_000001", "v_000001") and by["z_000001"]["donor"] in ("x_000002", "v_000001")
    assert len({p["donor"] for p in pairs}) == len(pairs) == 5
    assert all(p["margin"] > 0 and p["audio_similarity"] < 0.3 for p in pairs)
    reasons = {r["donor"]: r["reason"] for r in by["x_000001"]["nearest_refused"]}
    assert reasons == {"x_000001": "same_source", "y_000001": "near_audio_caption", "x_000002": "same_source"}
    refused = {r["donor"]: r for r in by["z_000001"]["nearest_refused"]}
    assert refused["y_000001"]["reason"] == "near_video_caption" and refused["y_000001"][
        "video_similarity"
    ] == pytest.approx(1)
    filtered = [r for t in run.parts("pair").rows("filtered") for r in t.to_pylist()]
    assert [(r["row_id"], r["reason"]) for r in filtered] == [("w_000001", "no_donor_allowed")]
    assert len(filtered) + len(pairs) == 6 and "same_source" in filtered[0]["message"]
    lines = [json.loads(x) for x in (tmp_path / "r/pairs.jsonl").read_text().splitlines()]
    assert {(x["clip"], x["donor"]) for x in lines} == {(p["clip"], p["donor"]) for p in pairs}


def test_an_answer_is_looked_for_in_words_and_numbers(tmp_path):
    rows = [
        {"clip": "a", "audio_caption": "knocks", "answer": "3"},
        {"clip": "b", "audio_caption": "Three bells."},
        {"clip": "c", "audio_caption": "13 hammers"},
    ]
    _, pairs, _ = pair(tmp_path, rows, threshold=2.0)
    assert {p["clip"]: p["donor"] for p in pairs}["a"] == "c"


def test_the_same_seed_gives_the_same_pairs_and_nothing_is_embedded_twice(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"clip": f"c{i}", "audio_caption": " ".join(rng.choice(list("abcdefghijkl"), 3))} for i in range(60)]
    over = {"block": 16, "rounds": 2, "threshold": 0.9}
    _, first, _ = pair(tmp_path, rows, "one", **over)
    before = WordVectors.calls
    _, again, _ = pair(tmp_path, rows, "one", **over)
    assert WordVectors.calls == before and again == first
    _, other, _ = pair(tmp_path, rows, "other", seed=1, **over)
    assert other != first
    assert sum(p["looked_at"] for p in first) < 60 * 40


def test_bad_records_are_dead_rows_with_reasons(tmp_path):
    rows = [*ROWS, {"clip": "q"}, {"audio_caption": "no clip"}, {"clip": "p", "audio_caption": {"a": 1}}]
    tallies, _, _ = pair(tmp_path, rows)
    assert tallies["captions"].dead == {"caption_missing": 1, "field_missing": 1, "field_not_text": 1}
    with pytest.raises(UserError, match="no field 'nonsense'"):
        changes = {"captions": tmp_path / "captions.jsonl", "columns": {"nonsense": "x"}}
        running.run("pair", tmp_path / "n", changes, embedder=WordVectors())


def test_lengths_levels_and_equal_sounds_are_checked(tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    picture = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=5:d=4")
    sounds = {"noise": "anoisesrc=d=4:a=0.3:seed=1", "tone": "aevalsrc=0.3*sin(2*PI*t*(300+200*t)):d=4"}
    for name, source in sounds.items():
        ffmpeg(*picture, "-f", "lavfi", "-i", source, str(clips / f"{name}.mp4"))
    ffmpeg(*picture, "-i", str(clips / "noise.mp4"), "-map", "0:v", "-map", "1:a", str(clips / "copy.mp4"))
    ffmpeg("-f", "lavfi", "-i", "sine=900:d=0.6", str(clips / "blip.wav"))
    ffmpeg(*picture, "-f", "lavfi", "-i", "anoisesrc=d=4:a=0.00001", str(clips / "faint.mp4"))
    ffmpeg(*picture, str(clips / "mute.mp4"))
    names = ["noise", "tone", "copy", "blip.wav", "faint", "mute", "gone"]
    rows = [{"clip": n, "audio_caption": f"sound {chr(97 + i) * 5}"} for i, n in enumerate(names)]
    tallies, pairs, run = pair(tmp_path, rows, media=clips, threshold=2.0, listed=9)
    assert tallies["captioned"].dead == {"media_missing": 1}
    by = {p["clip"]: p for p in pairs}
    refused = {r["donor"]: r["reason"] for r in by["noise.mp4"]["nearest_refused"]}
    assert refused.pop("noise.mp4") == "same_source"
    assert refused == {
        "copy.mp4": "same_sound",
        "blip.wav": "too_short",
        "faint.mp4": "too_quiet",
        "mute.mp4": "no_sound",
    }
    assert by["noise.mp4"]["donor"] == "tone.mp4"
    filtered = {r["row_id"]: r["reason"] for t in run.parts("pair").rows("filtered") for r in t.to_pylist()}
    assert filtered["blip.wav"] == "no_picture" and filtered["copy"] == "donors_taken"


@pytest.mark.slow
def test_in_the_demo_world_no_donor_leaves_an_answer_as_it_was(world, tmp_path):
    folder, items = world
    changes = {"captions": folder / "captions.jsonl", "media": folder / "clips", "threshold": 0.97}
    running.run("pair", tmp_path / "r", changes)
    donors = {p["clip"][:-4]: p["donor"][:-4] for p in map(json.loads, (tmp_path / "r/pairs.jsonl").open())}
    sounds = {i.clip.name: i.clip.sound for i in items}
    decided = kept = 0
    for item in items:
        if item.draft.evidence not in ("audio", "both") or item.clip.name not in donors:
            continue
        other = sounds[donors[item.clip.name]]
        decided += 1
        kept += item.draft.answer == _answer(item, other)
    assert decided > 20 and kept == 0
    assert len(donors) > 0.9 * len(sounds)
    summary = summarise_pair(RunDir(tmp_path / "r"))
    assert summary["donors_refused"]["answer_kept"] > 0


def _answer(item, sound):
    """The answer to a question if its clip had another sound; None if it could not be asked."""
    kind, picture = TYPE_BY_NAME[item.draft.type], item.clip.picture
    if not kind.fits(picture, sound):
        return None
    if item.draft.type == "color_when":
        timbre = next(t for t in item.clip.sound.timbres if t in item.draft.text)
        return picture.colors[sound.timbres.index(timbre)] if timbre in sound.timbres else None
    if item.draft.type == "sound_when":
        colour = next(c for c in picture.colors if c in item.draft.text)
        return sound.timbres[picture.colors.index(colour)]
    return kind.ask(picture, sound, None)[2] if item.draft.type != "timbre" else sound.timbres[0]


@pytest.mark.slow
def test_audiocaps_as_published(shared, tmp_path):
    tallies = running.run("pair", tmp_path / "r", {"captions": shared / "annotations/audiocaps_val.csv"})
    with (shared / "annotations/audiocaps_val.csv").open() as f:
        clips = {(r["youtube_id"], r["start_time"]) for r in csv.DictReader(f)}
    assert tallies["captioned"].kept == 2475 and tallies["pair"].total == len(clips)
    pairs = [json.loads(x) for x in (tmp_path / "r/pairs.jsonl").open()]
    assert len(pairs) > 0.98 * len(clips) and len({p["donor"] for p in pairs}) == len(pairs)
    assert all(p["audio_similarity"] < 0.3 and p["clip"][:-7] != p["donor"][:-7] for p in pairs)


def test_worlds_draw_the_same_captions():
    assert [i.draft for i in draw_world(12, 5)] == [i.draft for i in draw_world(12, 5)]
