"""The process that decodes through PyAV: the same clips as ffmpeg, whatever the file, and it may die or hang."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from avcurate.errors import MediaError
from avcurate.media import child
from avcurate.media import reader as readers
from avcurate.media.cache import ClipCache
from avcurate.media.decode import DecodeSpec, request_of
from avcurate.media.pyav import Unsure, read
from avcurate.media.reader import Reader
from tests.conftest import LONG, ffmpeg
from tests.media.both import outcome, same

av = pytest.importorskip("av", reason="the extra `pyav` is not installed")
SPEC = DecodeSpec(fps=2.0, max_frames=16, max_pixels=64 * 64, timeout_s=20)
PICTURE = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=2")
TONE = ("-f", "lavfi", "-i", "sine=440:d=2")


@pytest.fixture
def reader():
    one = Reader()
    yield one
    one.close()


def plain(path, folder, spec=SPEC):
    """What the process does with a file, in this one."""
    return read(request_of(path, spec, folder))


FILES = {
    "webm": (*PICTURE, *TONE, "-c:v", "libvpx", "-c:a", "libopus", "x.webm"),
    "hevc": (*PICTURE, *TONE, "-c:v", "libx265", "x.mp4"),
    "mpegts": (*PICTURE, *TONE, "x.ts"),
    "avi": (*PICTURE, *TONE, "x.avi"),
    "flv": (*PICTURE, *TONE, "-ar", "44100", "x.flv"),
    "five": (*PICTURE, "-f", "lavfi", "-i", "anoisesrc=d=2,aformat=channel_layouts=5.1", "x.mp4"),
    "loud": (*PICTURE, "-f", "lavfi", "-i", "aevalsrc=4*sin(900*t)|2*sin(300*t):d=2", "-c:a", "pcm_f32le", "x.mkv"),
    "wide": ("-f", "lavfi", "-i", "testsrc=s=320x46:r=30:d=3", *TONE, "x.mp4"),
    "slow": ("-f", "lavfi", "-i", "testsrc=s=64x48:r=1:d=5", *TONE, "x.mp4"),
    "ntsc": ("-f", "lavfi", "-i", "testsrc=s=64x48:r=30000/1001:d=3.3", *TONE, "x.mp4"),
    "late": (*PICTURE, "-itsoffset", "0.7", *TONE, "-map", "0:v", "-map", "1:a", "x.mp4"),
    "late picture": (*TONE, "-itsoffset", "0.7", *PICTURE, "-map", "0:a", "-map", "1:v", "x.mp4"),
    "two sounds": (*PICTURE, *TONE, *TONE, "-map", "0", "-map", "1", "-map", "2", "x.mp4"),
    "interlaced": (
        *PICTURE,
        *TONE,
        "-vf",
        "tinterlace=interleave_top",
        "-c:v",
        "mpeg2video",
        "-r",
        "25",
        "-flags",
        "+ilme+ildct",
        "x.mpg",
    ),
    "ten bit": (*PICTURE, *TONE, "-pix_fmt", "yuv420p10le", "x.mp4"),
    "gif": (*PICTURE, "x.gif"),
    "mp3": (*TONE, "x.mp3"),
    "flac": (*TONE, "x.flac"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_all_kinds_are_decoded_as_by_ffmpeg(tmp_path, reader, name):
    *words, file = FILES[name]
    path = tmp_path / file
    ffmpeg(*words, str(path))
    for spec in (SPEC, DecodeSpec(max_frames=2), DecodeSpec(max_seconds=1.0)):
        assert same(outcome(path, spec), outcome(path, spec, reader=reader)), spec
    for start, end in ((0.5, None), (None, 1.2), (0.4, 1.3)):
        assert same(outcome(path, SPEC, start, end), outcome(path, SPEC, start, end, reader=reader))


def test_plain_clips_are_decoded_here_and_odd_ones_are_not(tmp_path, tiny_clip):
    assert plain(tiny_clip, tmp_path)["fps"] == 2.0
    for name in ("late", "two sounds"):
        *words, file = FILES[name]
        ffmpeg(*words, str(tmp_path / file))
        with pytest.raises(Unsure):
            plain(tmp_path / file, tmp_path)


@pytest.mark.slow
def test_every_real_clip_is_decoded_as_by_ffmpeg(shared, tmp_path, reader):
    asked = sorted((shared / "clips").glob("*.mp4"))
    asked, here = asked if LONG else asked[::4], 0
    for path in asked:
        assert same(outcome(path, DecodeSpec()), outcome(path, DecodeSpec(), reader=reader)), path
        try:
            plain(path, tmp_path, DecodeSpec())
            here += 1
        except Unsure:
            continue
    assert here > 0.8 * len(asked)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200 if LONG else 12))
def test_damaged_clips_are_what_ffmpeg_says_they_are(shared, tmp_path, reader, seed):
    """Bytes changed, cut out, the end lost: the same clip or the same error, and the process lives or is replaced."""
    rng = np.random.default_rng(seed)
    clips = sorted((shared / "clips").glob("*.mp4"))
    data = bytearray(clips[seed % len(clips)].read_bytes())
    kind, at = seed % 4, int(rng.integers(len(data) // 8, len(data) - 5000))
    if kind == 0:
        data = data[:at]
    elif kind == 1:
        del data[at : at + 3000]
    else:
        for place in rng.integers(0, len(data), 3 if kind == 2 else 400):
            data[place] = int(rng.integers(256))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    spec = DecodeSpec(max_frames=16, keep_damaged=bool(seed % 3 == 0), max_shortfall=0.5)
    assert same(outcome(path, spec), outcome(path, spec, reader=reader))


def test_a_clip_that_takes_too_long_is_given_up_and_the_next_is_decoded(tmp_path, tiny_clip, reader):
    big = tmp_path / "big.mp4"
    ffmpeg(
        "-f", "lavfi", "-i", "mandelbrot=s=640x480:r=25", "-t", "4", "-c:v", "libx264", "-preset", "ultrafast", str(big)
    )
    assert not isinstance(outcome(tiny_clip, SPEC, reader=reader), MediaError)
    first = reader._child.pid
    gone = outcome(big, DecodeSpec(timeout_s=0.05), reader=reader)
    assert gone.reason == "media_timeout"
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert same(outcome(tiny_clip, SPEC), outcome(tiny_clip, SPEC, reader=reader))
    # a pipe whose writer never comes: not a file, and nothing waits
    os.mkfifo(tmp_path / "pipe.mp4")
    assert outcome(tmp_path / "pipe.mp4", SPEC, reader=reader).reason == "media_not_a_file"


def test_a_process_that_dies_of_a_clip_leaves_it_to_ffmpeg(tiny_clip, reader, monkeypatch):
    outcome(tiny_clip, SPEC, reader=reader)
    reader._child.kill()
    assert same(outcome(tiny_clip, SPEC), outcome(tiny_clip, SPEC, reader=reader))
    exchange = reader._exchange

    def dies(line, deadline):
        reader._child.kill()
        return exchange(line, deadline)

    monkeypatch.setattr(reader, "_exchange", dies)
    assert same(outcome(tiny_clip, SPEC), outcome(tiny_clip, SPEC, reader=reader))


def test_it_may_use_no_more_memory_than_ffmpeg_may(tmp_path, reader):
    huge = tmp_path / "huge.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=s=8192x8192:r=1:d=2", "-c:v", "ffv1", str(huge))
    spec = DecodeSpec(memory_mb=300, max_pixels=64 * 64)
    assert isinstance(outcome(huge, spec, reader=reader), MediaError)


@pytest.mark.parametrize("matrix", [(1, -1), (-1, 1), (-1, -1)])
def test_mirrored_and_turned_pictures_are_shown_as_ffmpeg_shows_them(tmp_path, reader, matrix):
    flat = tmp_path / "flat.mp4"
    ffmpeg(*PICTURE, *TONE, str(flat))
    data = bytearray(flat.read_bytes())
    at = data.find(b"tkhd") + 4 + 40
    values = [matrix[0] << 16, 0, 0, 0, matrix[1] << 16, 0, 0, 0, 0x40000000]
    data[at : at + 36] = b"".join(x.to_bytes(4, "big", signed=True) for x in values)
    path = tmp_path / "mirrored.mp4"
    path.write_bytes(data)
    shown = outcome(path, SPEC)
    assert not np.array_equal(shown.frames, outcome(flat, SPEC).frames) and same(
        shown, outcome(path, SPEC, reader=reader)
    )


def test_a_cache_that_is_closed_leaves_no_process(tiny_clip):
    before = len(child._running)
    for _ in range(3):
        cache = ClipCache(tiny_clip.parent, SPEC, workers=2)
        futures = [cache.get(tiny_clip.name, None, None), cache.get(tiny_clip.name, None, 1.0)]
        assert all(f.result() is not None for f in futures)
        cache.close()
    deadline = time.monotonic() + 10
    while len(child._running) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(child._running) == before


def test_a_process_that_cannot_start_is_not_started_for_ever(tiny_clip, reader, monkeypatch):
    started = []
    lasting = child.lasting
    monkeypatch.setattr(child, "lasting", lambda c, **k: started.append(1) or lasting([c[0], "-c", "print('?')"], **k))
    for _ in range(8):
        assert same(outcome(tiny_clip, SPEC), outcome(tiny_clip, SPEC, reader=reader))
    assert len(started) == readers.MOST_DEATHS


def test_playlists_and_addresses_reach_nothing(tmp_path, tiny_clip):
    for name, text in (
        ("list.mp4", f"ffconcat version 1.0\nfile {tiny_clip}\n"),
        ("hls.mp4", f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{tiny_clip}\n#EXT-X-ENDLIST\n"),
        ("net.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises((Unsure, av.FFmpegError)):
            plain(tmp_path / name, tmp_path)


def test_a_process_makes_way_after_many_clips_and_ends_with_its_thread(tiny_clip, monkeypatch):
    monkeypatch.setattr(readers, "PER_PROCESS", 2)
    seen = []

    def work():
        one = Reader()
        for _ in range(3):
            outcome(tiny_clip, SPEC, reader=one)
            seen.append(one._child.pid)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0] == seen[1] != seen[2]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_runs(pid) for pid in seen):
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in seen)


def _runs(pid):
    try:
        with Path(f"/proc/{pid}/stat").open() as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_cache_decodes_whole_clips_in_it(tiny_clip, monkeypatch):
    asked = []
    ask = Reader.ask
    monkeypatch.setattr(Reader, "ask", lambda self, *a, **k: asked.append(1) or ask(self, *a, **k))
    cache = ClipCache(tiny_clip.parent, SPEC, workers=1)
    cache.get(tiny_clip.name, 0.1, None).result()
    assert not asked
    assert same(outcome(tiny_clip, SPEC), cache.get(tiny_clip.name, None, None).result())
    cache.get(tiny_clip.name, 0.5, None).result()
    cache.close()
    assert asked == [1]
