"""Good and bad files: each is handled, or dies under its own name; nothing hangs."""

import dataclasses

import numpy as np
import pytest

from avcurate.errors import MediaError, UserError
from avcurate.media.ablate import show
from avcurate.media.cache import ClipCache
from avcurate.media.decode import SAMPLE_RATE, DecodeSpec
from avcurate.media.folder import MediaFolder
from avcurate.media.probe import probe
from avcurate.schema import Setting
from tests.conftest import ffmpeg
from tests.media.both import decode

SPEC = DecodeSpec(fps=2.0, max_frames=16, max_pixels=64 * 64, timeout_s=20)
PICTURE = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=2")
TONE = ("-f", "lavfi", "-i", "sine=440:d=2")


def reason(path, **kwargs):
    with pytest.raises(MediaError) as e:
        decode(path, SPEC, **kwargs)
    assert str(path) in e.value.message or e.value.reason == "media_timeout"
    return e.value.reason


def test_frames_and_audio(tiny_clip):
    clip = decode(tiny_clip, SPEC)
    assert clip.frames.shape == (4, 48, 64, 3) and clip.frames.dtype == np.uint8 and clip.fps == 2.0
    assert clip.audio.dtype == np.float32 and abs(len(clip.audio) - 2 * SAMPLE_RATE) < 1600
    peak = np.abs(np.fft.rfft(clip.audio)).argmax() * SAMPLE_RATE / len(clip.audio)
    assert abs(peak - 440) < 5
    assert len(clip.sha256) == 64


def test_cut(tiny_clip):
    clip = decode(tiny_clip, SPEC, start=0.5, end=1.5)
    assert len(clip.frames) == 2 and abs(len(clip.audio) - SAMPLE_RATE) < 1600
    assert reason(tiny_clip, start=5.0) == "media_bad_cut"
    assert reason(tiny_clip, start=1.0, end=1.0) == "media_bad_cut"


def test_long_clips_are_shown_at_a_lower_rate(tmp_path):
    path = tmp_path / "long.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=32x32:r=5:d=40", str(path))
    clip = decode(path, SPEC)
    assert len(clip.frames) <= 16 and clip.fps == pytest.approx(16 / 40) and clip.audio is None


@pytest.mark.parametrize("name", ["silent", "pictureless", "vfr", "rotated", "eight", "low", "renamed", "odd"])
def test_unusual_but_good(tmp_path, name):
    path = tmp_path / f"{name}.mkv"
    if name == "silent":
        ffmpeg(*PICTURE, "-f", "lavfi", "-i", "anullsrc=d=2", "-shortest", str(path))
    elif name == "pictureless":
        path = tmp_path / "sound.wav"
        ffmpeg(*TONE, str(path))
    elif name == "vfr":
        ffmpeg(*PICTURE, *TONE, "-vf", "select='not(mod(n,3))+lt(n,5)'", "-fps_mode", "vfr", str(path))
    elif name == "rotated":
        flat = tmp_path / "flat.mp4"
        ffmpeg(*PICTURE, *TONE, str(flat))
        path = tmp_path / "rotated.mp4"
        data = bytearray(flat.read_bytes())
        at = data.find(b"tkhd") + 4 + 40  # the first track's matrix, here made a quarter turn
        turn = [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]
        data[at : at + 36] = b"".join(x.to_bytes(4, "big", signed=True) for x in turn)
        path.write_bytes(data)
    elif name == "eight":
        ffmpeg(
            *PICTURE, "-f", "lavfi", "-i", "anoisesrc=d=2,aformat=channel_layouts=7.1", "-c:a", "pcm_s16le", str(path)
        )
    elif name == "low":
        ffmpeg(*PICTURE, *TONE, "-ar", "8000", str(path))
    elif name == "renamed":
        path = tmp_path / "really_an_avi.mp4"
        ffmpeg(*PICTURE, *TONE, "-f", "avi", str(path))
    else:
        ffmpeg("-f", "lavfi", "-i", "testsrc=s=63x47:r=10:d=2", *TONE, "-c:v", "ffv1", str(path))
    clip = decode(path, SPEC)
    if name != "pictureless":
        assert len(clip.frames) % 2 == 0 and clip.frames.shape[1] % 2 == 0
    if name == "rotated":
        assert clip.frames.shape[1] > clip.frames.shape[2]
    if clip.audio is not None:
        assert abs(len(clip.audio) - 2 * SAMPLE_RATE) < 0.2 * SAMPLE_RATE
        assert (np.abs(clip.audio).max() < 1e-3) == (name == "silent")


def test_broken_files_have_names(tmp_path, tiny_clip):
    data = tiny_clip.read_bytes()

    def written(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    assert reason(tmp_path / "none.mp4") == "media_missing"
    assert reason(written("empty.mp4", b"")) == "media_empty"
    assert reason(written("text.mp4", b"this is not a film\n" * 50)) == "media_unreadable"
    assert reason(written("head.mp4", data[: len(data) // 3])) == "media_unreadable"
    assert reason(written("zeros.mp4", bytes(50_000))) == "media_unreadable"
    assert reason(tmp_path) == "media_not_a_file"
    with pytest.raises(MediaError) as e:
        decode(tiny_clip, DecodeSpec(max_bytes=100))
    assert e.value.reason == "media_too_large"


def test_garbage_in_the_middle_does_not_hang(tmp_path, tiny_clip):
    rng = np.random.default_rng(0)
    data = bytearray(tiny_clip.read_bytes())
    middle = len(data) // 4
    data[middle : 2 * middle] = rng.bytes(middle)
    path = tmp_path / "garbage.mp4"
    path.write_bytes(data)
    try:
        clip = decode(path, SPEC)
        assert clip.frames is not None or clip.audio is not None
    except MediaError as e:
        assert e.reason in {"media_corrupt", "media_unreadable", "media_zero_length", "media_damaged"}


def test_a_file_that_claims_far_more_than_it_holds(tmp_path, tiny_clip):
    """The frame count and duration in a header are not trusted."""
    data = bytearray(tiny_clip.read_bytes())
    for box in (b"mvhd", b"mdhd"):
        at = 0
        while (at := data.find(box, at)) >= 0:
            data[at + 20 : at + 24] = (10**9).to_bytes(4, "big")
            at += 4
    path = tmp_path / "liar.mp4"
    path.write_bytes(data)
    assert len(decode(path, SPEC).frames) == 4
    honest = tmp_path / "honest.mkv"
    ffmpeg(*PICTURE, *TONE, str(honest))
    path = tmp_path / "liar.mkv"
    path.write_bytes(honest.read_bytes().replace(b"00:00:02.", b"00:59:02."))
    assert probe(path).duration > 1000
    clip = decode(path, dataclasses.replace(SPEC, keep_damaged=True))
    assert 0 < len(clip.frames) <= 16 and clip.shortfall > 0.9
    assert reason(path) == "media_damaged"


def test_a_decode_that_takes_too_long_is_killed(tmp_path):
    path = tmp_path / "big.mkv"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "mandelbrot=s=640x480:r=25",
        "-t",
        "4",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        str(path),
    )
    with pytest.raises(MediaError) as e:
        decode(path, DecodeSpec(timeout_s=0.02))
    assert e.value.reason == "media_timeout"


def test_playlists_reach_nothing(tmp_path, tiny_clip):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(tiny_clip.read_bytes())
    for name, text in (
        ("list.mp4", f"ffconcat version 1.0\nfile {secret}\n"),
        ("hls.mp4", f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n"),
        ("net.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
    ):
        (tmp_path / name).write_text(text)
        assert reason(tmp_path / name) == "media_unreadable"


@pytest.mark.parametrize(
    "name",
    [
        "../x", "/etc/passwd", "a/../../x", "http://h/x.mp4", "concat:a|b", "file:x", "x.m3u8", "x.txt", "", "a\x00b",
        "..", "pipe:0", "x" * 2000, "a\\..\\b",
    ],
)  # fmt: skip
def test_names_that_leave_the_folder_or_name_a_protocol_are_refused(tmp_path, name):
    (tmp_path / "x.txt").write_text("x")
    (tmp_path / "x.m3u8").write_text("x")
    with pytest.raises(MediaError) as e:
        MediaFolder(tmp_path).find(name)
    assert e.value.reason == "media_name_refused"


def test_names_are_found_with_and_without_ending(tmp_path):
    (tmp_path / "-HG3Omg_89c_000030.mp4").write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a_video.webm").write_bytes(b"x")
    folder = MediaFolder(tmp_path)
    assert folder.find("-HG3Omg_89c_000030") == "-HG3Omg_89c_000030.mp4"
    assert folder.find("sub/a_video.webm") == "sub/a_video.webm"
    assert MediaFolder(tmp_path, "sub/{name}_video.webm").find("a") == "sub/a_video.webm"
    with pytest.raises(MediaError, match="media-pattern"):
        folder.find("nothing")
    with pytest.raises(UserError, match="does not exist"):
        MediaFolder(tmp_path / "none")


def test_ablation(tiny_clip):
    clip = decode(tiny_clip, SPEC)
    audio, frames = show(clip, Setting.A, "drop")
    assert audio is clip.audio and frames is None
    audio, frames = show(clip, Setting.V, "drop")
    assert audio is None and frames is clip.frames
    audio, frames = show(clip, Setting.V, "zero")
    assert audio.shape == clip.audio.shape and not audio.any() and frames is clip.frames
    audio, frames = show(clip, Setting.A, "zero")
    assert frames.shape == clip.frames.shape and not frames.any() and audio is clip.audio


def test_a_clip_is_decoded_once(tiny_clip):
    cache = ClipCache(tiny_clip.parent, SPEC, workers=2)
    futures = [cache.get(tiny_clip.name, None, None) for _ in range(5)]
    assert len({id(f.result()) for f in futures}) == 1 and cache.decoded == 1
    cache.get(tiny_clip.name, 0.5, None).result()
    assert cache.decoded == 2
    cache.close()


@pytest.mark.slow
def test_every_real_clip_is_handled(shared):
    silent = 0
    for path in sorted((shared / "clips").glob("*.mp4")):
        clip = decode(path, SPEC)
        assert clip.frames is not None and len(clip.frames) >= 2
        silent += clip.audio is None
    assert silent == 5
