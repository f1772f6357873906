"""Damage is counted and is never called absence: cut-off files, destroyed packets of either track, and whole clips."""

import json
import random
import subprocess

import pytest

from avcurate.errors import MediaError
from avcurate.media.decode import DecodeSpec, decode
from tests import running
from tests.conftest import ffmpeg, sampled

FRAMES = 250


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Ten seconds with a key frame each, index first: (bytes, packets by track)."""
    path = tmp_path_factory.mktemp("whole") / "clip.mp4"
    picture, tone = ("-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=10"), ("-f", "lavfi", "-i", "sine=440:d=10")
    ffmpeg(*picture, *tone, "-g", "25", "-movflags", "+faststart", str(path))
    listed = ["ffprobe", "-v", "error", "-show_packets", "-of", "json", str(path)]
    packets = json.loads(subprocess.run(listed, capture_output=True, text=True, check=True).stdout)["packets"]
    return path.read_bytes(), {k: [p for p in packets if p["codec_type"] == k] for k in ("audio", "video")}


def destroyed(clip, track, share, fill):
    data, packets = bytearray(clip[0]), clip[1][track]
    count = round(len(packets) * share)
    for packet in packets[(len(packets) - count) // 2 :][:count]:
        at, size = int(packet["pos"]), int(packet["size"])
        data[at : at + size] = bytes(size) if fill == "zeros" else random.Random(at).randbytes(size)
    return bytes(data)


def cut(clip, share):
    data = clip[0]
    begin = data.index(b"mdat")
    return data[: begin + int((len(data) - begin) * share)]


def test_a_whole_clip_lacks_nothing(clip, tmp_path):
    (tmp_path / "c.mp4").write_bytes(clip[0])
    decoded = decode(tmp_path / "c.mp4", DecodeSpec())
    assert decoded.shortfall == 0 and len(decoded.frames) == 20 and len(decoded.audio) == 160_000
    assert [(t.name, t.expected, t.decoded, t.units) for t in decoded.tracks] == [
        ("picture", 10.0, 10.0, 20),
        ("sound", 10.0, 10.0, 160_000),
    ]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.75])
def test_a_file_that_is_cut_off_is_damaged(clip, tmp_path, share):
    (tmp_path / "c.mp4").write_bytes(cut(clip, share))
    with pytest.raises(MediaError) as e:
        decode(tmp_path / "c.mp4", DecodeSpec())
    assert e.value.reason == "media_damaged"
    kept = decode(tmp_path / "c.mp4", DecodeSpec(keep_damaged=True))
    assert all(t.expected == 10 and t.decoded == pytest.approx(10 * share, abs=1.5) for t in kept.tracks)
    assert kept.shortfall == pytest.approx(1 - share, abs=0.15)


@pytest.mark.parametrize("fill", ["zeros", "noise"])
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("track", ["video", "audio"])
def test_destroyed_packets_are_damage_of_either_track(clip, tmp_path, track, share, fill):
    if track == "audio" and fill == "noise":
        pytest.skip("AAC decodes some noise as sound; nothing in the file shows that it is damage")
    (tmp_path / "c.mp4").write_bytes(destroyed(clip, track, share, fill))
    with pytest.raises(MediaError) as e:
        decode(tmp_path / "c.mp4", DecodeSpec())
    assert e.value.reason == "media_damaged"


def test_a_little_damage_is_measured_and_let_through(clip, tmp_path):
    (tmp_path / "c.mp4").write_bytes(destroyed(clip, "video", 0.1, "zeros"))
    assert 0 < decode(tmp_path / "c.mp4", DecodeSpec()).shortfall < 0.2


@pytest.mark.slow
def test_real_clips_lack_nothing(shared):
    """No real clip becomes dead; the largest shortfall of the 46 files is checked here."""
    files = sorted(p for p in (shared / "clips").rglob("*") if p.suffix in (".mp4", ".webm", ".mkv"))
    assert len(files) > 20
    seen = {path.name: decode(path, DecodeSpec()).shortfall for path in sampled(files, 12)}
    assert max(seen.values()) <= 0.05, {k: v for k, v in seen.items() if v > 0.05}


def test_a_clip_whose_picture_is_destroyed_is_dead_not_filtered(clip, tmp_path):
    media = tmp_path / "clips"
    media.mkdir()
    (media / "good.mp4").write_bytes(clip[0])
    (media / "bad.mp4").write_bytes(destroyed(clip, "video", 1.0, "zeros"))
    rows = [
        {"id": i, "video_name": n, "question_text": "What?", "multi_choice": list("abcd"), "answer": 0}
        for i, n in enumerate(("good.mp4", "bad.mp4"))
    ]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    from tests.attack.cases import Steady
    from tests.conftest import CountingEmbedder

    engine = Steady(lambda r: "<think>x</think><answer>a</answer>")
    engine.broken = False
    changes = {"annotations": tmp_path / "q.json", "media": media, "n": 2}
    tallies = running.run("label-pem", tmp_path / "run", changes, engine=engine, embedder=CountingEmbedder())
    sample = tallies["sample"]
    assert (sample.kept, sample.dead, sample.filtered) == (1, {"media_damaged": 1}, {})
