"""Another sound under the same picture: packets, lengths, loudness, and every way it can fail."""

import hashlib
import json
import subprocess

import numpy as np
import pytest

from avcurate.errors import MediaError
from avcurate.media.commands import suffix_of
from avcurate.media.decode import DecodeSpec, decode
from avcurate.media.probe import probe, read_packets
from avcurate.media.swap import SwapSpec, keep_one, loudness, swap
from tests.conftest import ffmpeg

SPEC = SwapSpec()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swap")
    video = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=3")
    ffmpeg(*video, "-f", "lavfi", "-i", "sine=440:d=3", "-filter:a", "volume=-20dB", str(folder / "clip.mp4"))
    ffmpeg(*video, "-c:v", "libx264", str(folder / "mute.mkv"))
    for name, hertz, seconds in (("short", 1500, 1), ("long", 1500, 8), ("blip", 1500, 0.2)):
        ffmpeg("-f", "lavfi", "-i", f"sine={hertz}:d={seconds}", str(folder / f"{name}.wav"))
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=44100:cl=mono", "-t", "2", str(folder / "silence.wav"))
    return folder


def pitch(path, start=0.0, end=None):
    """The loudest frequency of a part of the sound in Hz, and its level."""
    audio = decode(path, DecodeSpec(max_seconds=30)).audio
    audio = audio[int(16000 * start) : None if end is None else int(16000 * end)]
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return np.argmax(spectrum) * 16000 / len(audio), float(np.sqrt((audio**2).mean()))


def packets(path):
    """The picture's bytes, obtained independently of the code under test: the raw stream, copied out."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "h264", "-"]
    return hashlib.sha256(subprocess.run(command, check=True, capture_output=True).stdout).hexdigest()


@pytest.mark.parametrize(
    ("donor", "fit", "fitted"),
    [("short.wav", "loop", "looped"), ("short.wav", "pad", "padded"), ("long.wav", "loop", "cut")],
)
def test_the_sound_is_the_donors_and_the_picture_untouched(files, tmp_path, donor, fit, fitted):
    out = tmp_path / "out.mp4"
    swapped = swap(files / "clip.mp4", files / donor, out, SwapSpec(fit=fit), {"clip": "clip.mp4"})
    assert swapped.fitted == fitted and swapped.seconds == pytest.approx(3, abs=0.05)
    assert packets(out) == packets(files / "clip.mp4")
    after = read_packets(out)
    assert after.picture_sha256 == swapped.picture_sha256 == read_packets(files / "clip.mp4").picture_sha256
    assert after.sound_seconds == pytest.approx(after.picture_seconds, abs=0.05)
    assert pitch(out, 0, 0.9)[0] == pytest.approx(1500, abs=5)
    late, level = pitch(out, 2, 2.9)
    assert level < 1e-3 if fit == "pad" else late == pytest.approx(1500, abs=5)
    if fit == "loop":
        assert loudness(out, SPEC) == pytest.approx(loudness(files / "clip.mp4", SPEC), abs=0.7)


def test_the_file_says_what_it_is(files, tmp_path):
    swap(files / "clip.mp4", files / "long.wav", tmp_path / "o.mp4", SPEC, {"clip": "a", "donor": "b"})
    command = ["ffprobe", "-v", "error", "-show_entries", "format_tags=comment", "-of", "json", str(tmp_path / "o.mp4")]
    tags = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["format"]["tags"]
    assert json.loads(tags["comment"]) == {"clip": "a", "donor": "b"}


def test_silence_other_containers_and_the_same_bytes_each_time(files, tmp_path):
    out = tmp_path / f"o{suffix_of(files / 'mute.mkv')}"
    swapped = swap(files / "mute.mkv", None, out, SPEC, {})
    assert out.suffix == ".mkv" and swapped.fitted == "whole" and probe(out).has_audio
    assert pitch(out)[1] < 1e-3 and read_packets(files / "mute.mkv").picture_sha256 == swapped.picture_sha256
    for name in ("one.mp4", "two.mp4"):
        swap(files / "clip.mp4", files / "short.wav", tmp_path / name, SPEC, {"a": "b"})
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_a_silent_donor_and_a_silent_picture_are_no_error(files, tmp_path):
    assert swap(files / "clip.mp4", files / "silence.wav", tmp_path / "a.mp4", SPEC, {}).gain_db == 0.0
    swap(files / "mute.mkv", files / "long.wav", tmp_path / "b.mkv", SPEC, {})
    assert loudness(tmp_path / "b.mkv", SPEC) == pytest.approx(-23, abs=1)


@pytest.mark.parametrize(
    ("picture", "donor", "reason"),
    [
        ("long.wav", "clip.mp4", "picture_without_video"),
        ("clip.mp4", "mute.mkv", "donor_without_audio"),
        ("clip.mp4", "blip.wav", "donor_too_short"),
        ("clip.mp4", "nothing.wav", "media_missing"),
    ],
)
def test_what_cannot_be_swapped_has_a_name_and_leaves_no_file(files, tmp_path, picture, donor, reason):
    with pytest.raises(MediaError) as e:
        swap(files / picture, files / donor, tmp_path / "o.mp4", SPEC, {})
    assert e.value.reason == reason and list(tmp_path.iterdir()) == []


def test_a_sound_that_needs_nothing_done_is_copied_and_one_stream_can_be_kept_alone(files, tmp_path):
    ffmpeg("-i", str(files / "long.wav"), "-c:a", "aac", str(tmp_path / "long.m4a"))
    swapped = swap(files / "clip.mp4", tmp_path / "long.m4a", tmp_path / "o.mp4", SwapSpec(match_loudness=False), {})
    assert swapped.fitted == "cut" and swapped.gain_db == 0

    def sound_packets(path):
        arguments = [
            "-select_streams",
            "a:0",
            "-show_entries",
            "packet=data_hash",
            "-show_data_hash",
            "md5",
            "-of",
            "csv=p=0",
        ]
        return subprocess.run(
            ["ffprobe", "-v", "error", *arguments, str(path)], capture_output=True, check=True
        ).stdout.split()

    copied, original = sound_packets(tmp_path / "o.mp4"), sound_packets(tmp_path / "long.m4a")
    assert len(copied) > 100 and copied == original[: len(copied)]
    keep_one(tmp_path / "o.mp4", tmp_path / "a.m4a", "audio", SPEC, {})
    keep_one(tmp_path / "o.mp4", tmp_path / "v.mp4", "visual", SPEC, {})
    heard, seen = read_packets(tmp_path / "a.m4a"), read_packets(tmp_path / "v.mp4")
    assert not heard.facts.has_video and not seen.facts.has_audio
    assert seen.picture_sha256 == swapped.picture_sha256 and sound_packets(tmp_path / "a.m4a") == copied
    with pytest.raises(MediaError, match="has no sound to keep"):
        keep_one(files / "mute.mkv", tmp_path / "x.m4a", "audio", SPEC, {})
