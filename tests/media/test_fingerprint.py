"""A sound is recognised after encoding, cutting and levelling, and not mistaken for another."""

import numpy as np
import pytest

from avcurate.media.decode import DecodeSpec, decode
from avcurate.media.fingerprint import bit_error, fingerprint, near_duplicates
from tests.conftest import ffmpeg, sampled


def noise(seed, seconds=6.0):
    """Noise whose colour wanders, as real sounds do."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(int(seconds * 4)):
        spectrum = np.fft.rfft(rng.normal(size=4000)) * rng.gamma(0.5, size=2001).repeat(1)
        parts.append(np.fft.irfft(spectrum, 4000))
    audio = np.concatenate(parts)
    return (0.3 * audio / np.abs(audio).max()).astype(np.float32)


def test_same_bits_no_error_other_sounds_half_of_them():
    a, b = fingerprint(noise(1)), fingerprint(noise(2))
    assert a.dtype == np.uint32 and len(a) == (len(noise(1)) - 8192) // 256
    assert bit_error(a, a, 0) == 0 and bit_error(a, b, 0) > 0.4
    assert len(fingerprint(np.zeros(1000, np.float32))) == 0
    assert not fingerprint(np.zeros(32000, np.float32)).any()


def test_a_cut_quieter_copy_is_found_and_others_are_not():
    sounds = [noise(i) for i in range(6)]
    copy = 0.2 * sounds[2][16000:64000] + np.random.default_rng(9).normal(0, 1e-4, 48000).astype(np.float32)
    prints = [fingerprint(s.astype(np.float32)) for s in [*sounds, copy, np.zeros(48000)]]
    assert near_duplicates(prints) == {(2, 6)}


@pytest.mark.slow
def test_real_clips_are_told_apart_and_recognised_after_coding(shared, tmp_path):
    clips = sampled(sorted((shared / "clips").glob("*.mp4")), 20)
    prints, names, originals = [], [], {}
    for clip in clips:
        audio = decode(clip, DecodeSpec(max_seconds=12)).audio
        if audio is not None:
            originals[clip.name] = len(prints)
            names.append(clip.name)
            prints.append(fingerprint(audio))
    loud = [n for n in names if (prints[originals[n]] != 0).mean() > 0.9][:6]
    assert len(loud) == 6
    pairs = set()
    for name in loud:
        # from 2.009 s on, between two frames: 12 dB down, as low-rate mp3
        arguments = ("-ss", "2.009", "-t", "3", "-i", str(shared / "clips" / name), "-vn", "-filter:a", "volume=-12dB")
        ffmpeg(*arguments, "-b:a", "48k", "-ar", "22050", str(tmp_path / "x.mp3"))
        pairs.add((originals[name], len(prints)))
        prints.append(fingerprint(decode(tmp_path / "x.mp3", DecodeSpec()).audio))
    duplicates = near_duplicates(prints)
    assert pairs <= duplicates
    assert len({p for p in duplicates if max(p) < len(names)}) <= 2, [
        (names[i], names[j]) for i, j in duplicates if j < len(names)
    ]
