"""Edits change one track as stated, leave the other's packets alone, and give the same bytes each time."""

import hashlib

import numpy as np
import pytest

from avcurate.errors import MediaError
from avcurate.media.decode import SAMPLE_RATE, DecodeSpec, decode
from avcurate.media.edit import NEEDS_DONOR, PICTURE_EDITS, SOUND_EDITS, Edit, make_edit, target_suffix
from avcurate.media.probe import read_packets
from avcurate.media.swap import SwapSpec
from tests.conftest import ffmpeg

SPEC = DecodeSpec(fps=4.0, max_pixels=4096)
EDITS = {
    "plain": Edit("plain"),
    "sound": Edit("sound"),
    "swap_sound": Edit("swap_sound"),
    "mix": Edit("mix"),
    "shift": Edit("shift", offset=1.0),
    "mute": Edit("mute", 1.0, 2.0),
    "exchange_sound": Edit("exchange_sound"),
    "picture": Edit("picture"),
    "swap_picture": Edit("swap_picture"),
    "freeze": Edit("freeze", 1.0, 2.5),
    "black": Edit("black", 1.0, 2.0),
    "blur": Edit("blur", 1.0, 2.0),
    "exchange_picture": Edit("exchange_picture"),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A clip whose tone is low for two seconds and then high, on a moving picture; and another of noise on a still."""
    folder = tmp_path_factory.mktemp("edit")
    low, high = (("-f", "lavfi", "-i", f"sine={f}:d=2") for f in (300, 1500))
    moving = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=4")
    joined = ("-filter_complex", "[1:a][2:a]concat=n=2:v=0:a=1[a]", "-map", "0:v", "-map", "[a]")
    ffmpeg(*moving, *low, *high, *joined, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(folder / "clip.mp4"))
    still = ("-f", "lavfi", "-i", "color=blue:s=64x48:r=10:d=3", "-f", "lavfi", "-i", "anoisesrc=d=3:a=0.2")
    ffmpeg(*still, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(folder / "donor.mp4"))
    return folder / "clip.mp4", folder / "donor.mp4"


def made(clips, edit, folder):
    clip, donor = clips
    packets = read_packets(clip)
    out = folder / f"{edit.name}{target_suffix(edit, clip, packets.sound_codec)}"
    facts = make_edit(edit, clip, donor if edit.name in NEEDS_DONOR else None, out, SwapSpec(), {"x": "<&"}, packets)
    return out, facts, packets


def pitch(audio, begin, end):
    """The strongest frequency of a stretch, Hz; 0 for silence."""
    part = audio[int(begin * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
    if np.sqrt((part**2).mean()) < 1e-3:
        return 0.0
    return float(np.abs(np.fft.rfft(part)).argmax() * SAMPLE_RATE / len(part))


def motion(frames):
    return np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))


@pytest.mark.parametrize("name", EDITS)
def test_one_track_is_copied_and_the_bytes_repeat(clips, tmp_path, name):
    out, facts, packets = made(clips, EDITS[name], tmp_path)
    first = hashlib.sha256(out.read_bytes()).hexdigest()
    after = read_packets(out)
    if name in SOUND_EDITS or name == "plain":
        assert after.picture_sha256 == packets.picture_sha256 == facts.copied_sha256
    if name in PICTURE_EDITS or name == "plain":
        assert after.sound_sha256 == packets.sound_sha256
    changed = {
        "sound": after.sound_sha256 != packets.sound_sha256,
        "picture": after.picture_sha256 != packets.picture_sha256,
    }
    assert changed == {"sound": name in SOUND_EDITS, "picture": name in PICTURE_EDITS}
    assert after.picture_seconds == pytest.approx(4.0, abs=0.15) and after.sound_seconds == pytest.approx(4.0, abs=0.15)
    out.unlink()
    made(clips, EDITS[name], tmp_path)
    assert hashlib.sha256(out.read_bytes()).hexdigest() == first


def test_sounds_are_where_the_edit_puts_them(clips, tmp_path):
    heard = {n: decode(made(clips, EDITS[n], tmp_path)[0], SPEC).audio for n in SOUND_EDITS}
    assert pitch(heard["sound"], 0.5, 1.5) == pytest.approx(300, abs=5)
    assert pitch(heard["sound"], 2.5, 3.5) == pytest.approx(1500, abs=5)
    assert pitch(heard["mute"], 1.1, 1.9) == 0 and pitch(heard["mute"], 0.2, 0.9) == pytest.approx(300, abs=5)
    assert pitch(heard["mute"], 2.1, 2.9) == pytest.approx(1500, abs=5)
    # a second later, and what passes the end comes first
    assert pitch(heard["shift"], 0.1, 0.9) == pytest.approx(1500, abs=5)
    assert pitch(heard["shift"], 1.2, 2.8) == pytest.approx(300, abs=5)
    assert pitch(heard["exchange_sound"], 0.5, 1.5) == pytest.approx(1500, abs=5)
    assert pitch(heard["exchange_sound"], 2.5, 3.5) == pytest.approx(300, abs=5)
    twin, mixed = heard["sound"], heard["mix"]
    n = min(len(twin), len(mixed))
    added = mixed[:n] - twin[:n]
    assert pitch(mixed, 0.5, 1.5) == pytest.approx(300, abs=5) and (added**2).mean() > 0.1 * (twin[:n] ** 2).mean()
    assert abs(np.corrcoef(heard["swap_sound"][:n], twin[:n])[0, 1]) < 0.1


def test_pictures_are_as_the_edit_says(clips, tmp_path):
    seen = {n: decode(made(clips, EDITS[n], tmp_path)[0], SPEC).frames for n in PICTURE_EDITS}
    plain = decode(clips[0], SPEC).frames
    assert len({len(f) for f in seen.values()}) == 1
    assert np.abs(seen["picture"].astype(float) - plain).mean() < 3
    assert motion(seen["freeze"])[5:9].max() < 0.3 < motion(seen["picture"])[5:9].min()
    inside, outside = seen["black"][5:7], seen["black"][9:]
    assert inside.max() < 24 and outside.mean() > 60
    edges = np.abs(np.diff(seen["blur"].astype(float), axis=2)).mean((1, 2, 3))
    assert edges[5:7].max() < 0.5 * edges[9:].min()
    half = len(plain) // 2
    assert np.abs(seen["exchange_picture"][:half].astype(float) - plain[half:]).mean() < 6
    blue = seen["swap_picture"].reshape(-1, 3).mean(0)
    assert blue[2] > 200 and blue[:2].max() < 30


def test_what_cannot_be_edited_is_refused(clips, tmp_path):
    clip, _ = clips
    silent, blind = tmp_path / "silent.mp4", tmp_path / "blind.mp4"
    ffmpeg("-i", str(clip), "-an", "-c", "copy", str(silent))
    ffmpeg("-i", str(clip), "-vn", "-c", "copy", str(blind))
    for edit, source, other, reason in (
        (EDITS["mute"], silent, None, "clip_without_audio"),
        (EDITS["freeze"], silent, None, "clip_without_audio"),
        (EDITS["mute"], blind, None, "picture_without_video"),
        (EDITS["swap_sound"], clip, silent, "donor_without_audio"),
        (EDITS["mix"], clip, silent, "donor_without_audio"),
        (EDITS["swap_picture"], clip, blind, "donor_without_video"),
    ):
        with pytest.raises(MediaError) as e:
            make_edit(edit, source, other, tmp_path / "x.mp4", SwapSpec(), {}, read_packets(source))
        assert e.value.reason == reason, (edit.name, e.value)
        assert not (tmp_path / "x.mp4").exists()


def test_a_codec_that_mp4_does_not_take_goes_into_matroska(clips):
    assert target_suffix(EDITS["black"], clips[0], "aac") == ".mp4"
    assert target_suffix(EDITS["black"], clips[0], "vorbis") == ".mkv"
    assert target_suffix(EDITS["mute"], clips[0], "vorbis") == ".mp4"
    assert target_suffix(EDITS["mute"], clips[0].with_suffix(".webm"), "opus") == ".mkv"
