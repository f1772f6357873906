"""Puts another sound under a picture without touching the picture: its packets are copied and their hash compared."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avcurate.errors import MediaError
from avcurate.media import child
from avcurate.media.commands import AAC, COPIED, RATE, checked, ending, reading, start
from avcurate.media.probe import Packets, probe, read_packets
from avcurate.store.atomic import write_atomic

Fit = Literal["loop", "pad"]
SILENT_LUFS = -69.0
STANDARD_LUFS = -23.0
MAX_GAIN_DB = 30.0
LENGTH_TOLERANCE = 0.1
_LOUDNESS = re.compile(rb"I:\s*(-?[\d.]+|-?inf|nan) LUFS")


@dataclass(frozen=True)
class SwapSpec:
    """How a sound is fitted to a picture.

    Attributes:
        fit: a shorter sound is repeated (``loop``) or followed by silence (``pad``); a longer one is cut.
        match_loudness: bring the sound to the integrated loudness of the sound it replaces (EBU R 128).
        least_seconds: shorter donors are refused.
        timeout_s: wall time of one ffmpeg child.
    """

    fit: Fit = "loop"
    match_loudness: bool = True
    least_seconds: float = 0.5
    timeout_s: float = 120.0


@dataclass(frozen=True)
class Swapped:
    """Result of a swap.

    Attributes:
        seconds: length of the picture, and so of the sound.
        fitted: ``whole``, ``cut``, ``looped`` or ``padded``.
        gain_db: gain applied to the sound, within ±``MAX_GAIN_DB``.
        picture_sha256: hash over the packets of the picture, the same before and after.
    """

    seconds: float
    fitted: str
    gain_db: float
    picture_sha256: str


def swap(picture: Path, donor: Path | None, out: Path, spec: SwapSpec, note: dict[str, str]) -> Swapped:
    """Write ``out``: the picture's first video stream, copied, and the donor's first sound, fitted.

    The sound is copied as well where loudness is left alone, it is not short, and the container accepts its
    codec; else it becomes AAC. With loudness matched every sound is re-encoded, a clip's own for its twin too, so that
    no trace of encoding distinguishes the two.

    Args:
        picture: clip whose picture is kept; its own sound sets the loudness.
        donor: clip or sound file; ``None`` makes silence.
        out: file to write, atomically.
        spec: how the sound is fitted.
        note: content of the file's ``comment`` tag, as JSON.

    Raises:
        MediaError: every reason of ``probe``; ``picture_without_video``, ``donor_without_audio``,
            ``donor_too_short``, ``media_corrupt``, ``picture_changed``, ``lengths_differ``.
    """
    # two children at once: most of a swap is spent waiting for them
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(read_packets, donor, timeout_s=spec.timeout_s) if donor not in (None, picture) else None
        before = read_packets(picture, timeout_s=spec.timeout_s)
    if not before.facts.has_video:
        raise MediaError("picture_without_video", f"{picture} has no picture.", "Pair it with another clip.")
    seconds = before.picture_seconds
    sound, fitted, gain = _sound(picture, before, donor, ahead.result() if ahead else before, out, spec)
    command = [
        *start(),
        *reading(picture),
        *sound,
        "-map",
        "0:V:0",
        "-map",
        "1:a:0",
        "-c:v",
        "copy",
        *ending(out, note),
    ]

    def make(partial: Path) -> None:
        checked(picture, child.run([*command, f"file:{partial}"], timeout_s=spec.timeout_s))
        after = read_packets(partial, timeout_s=spec.timeout_s)
        if after.picture_sha256 != before.picture_sha256:
            raise MediaError(
                "picture_changed",
                f"{picture}: its packets cannot be copied into {out.suffix} as they are.",
                "Remux the clip to mp4 or mkv first.",
            )
        if abs(after.sound_seconds - seconds) > LENGTH_TOLERANCE:
            raise MediaError(
                "lengths_differ",
                f"{picture}: the sound came out {after.sound_seconds:.2f} s long, the picture is {seconds:.2f} s.",
            )

    write_atomic(out, make)
    return Swapped(seconds, fitted, gain, before.picture_sha256)


def keep_one(clip: Path, out: Path, stream: Literal["audio", "visual"], spec: SwapSpec, note: dict[str, str]) -> None:
    """Write ``out`` with the clip's first sound alone, or its first picture alone, copied.

    Raises:
        MediaError: every reason of ``probe``; ``stream_missing``, ``media_corrupt``.
    """
    facts = probe(clip, timeout_s=spec.timeout_s)
    if not (facts.has_audio if stream == "audio" else facts.has_video):
        raise MediaError("stream_missing", f"{clip} has no {'sound' if stream == 'audio' else 'picture'} to keep.")
    chosen = "0:a:0" if stream == "audio" else "0:V:0"
    command = [*start(), *reading(clip), "-map", chosen, "-c", "copy", *ending(out, note)]
    write_atomic(out, lambda p: checked(clip, child.run([*command, f"file:{p}"], timeout_s=spec.timeout_s)))


def _sound(
    picture: Path, own: Packets, donor: Path | None, donor_packets: Packets, out: Path, spec: SwapSpec
) -> tuple[list[str], str, float]:
    """ffmpeg's arguments for the second input and its filters, how it was fitted, and the gain."""
    seconds = own.picture_seconds
    length = f"{seconds:.6f}"
    if donor is None:
        return ["-f", "lavfi", "-t", length, "-i", f"anullsrc=r={RATE}:cl=stereo", *AAC], "whole", 0.0
    if not donor_packets.facts.has_audio:
        raise MediaError("donor_without_audio", f"{donor} has no sound.", "Choose another donor.")
    lasts = donor_packets.sound_seconds
    if lasts < spec.least_seconds:
        raise MediaError(
            "donor_too_short", f"{donor} has {lasts:.2f} s of sound, under {spec.least_seconds:g} s.", "Choose another."
        )
    gain = 0.0
    if spec.match_loudness and donor != picture:
        own_lufs = loudness(picture, spec) if own.facts.has_audio else float("-inf")
        target_lufs = own_lufs if own_lufs > SILENT_LUFS else STANDARD_LUFS
        donor_lufs = loudness(donor, spec)
        if donor_lufs > SILENT_LUFS:
            gain = max(-MAX_GAIN_DB, min(MAX_GAIN_DB, target_lufs - donor_lufs))
    short = lasts < seconds - 0.02
    fitted = ("looped" if spec.fit == "loop" else "padded") if short else "cut" if lasts > seconds + 0.02 else "whole"
    if not short and not spec.match_loudness and donor_packets.sound_codec in COPIED[out.suffix]:
        return ["-t", length, *reading(donor), "-c:a", "copy"], fitted, 0.0
    # looped in the filter, not by the demuxer, which ends early with some files
    samples = int((lasts + 1.0) * RATE)
    repeat = [f"aloop=loop=-1:size={samples}"] if short and spec.fit == "loop" else ["apad"]
    level = [f"volume={gain:.3f}dB", "alimiter=limit=0.97:level=0"] if spec.match_loudness else []
    channels = str(max(1, min(2, donor_packets.facts.channels)))
    filters = [f"aresample={RATE}", *repeat, *level, f"atrim=0:{length}"]
    return [*reading(donor), "-filter:a", ",".join(filters), *AAC, "-ac", channels], fitted, round(gain, 3)


def loudness(path: Path, spec: SwapSpec) -> float:
    """Integrated loudness of the first sound, LUFS; -inf for silence and for sounds too short to measure."""
    command = [child.binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "info", *reading(path), "-map", "0:a:0"]
    done = child.run(
        [*command, "-af", "aformat=sample_rates=48000,ebur128=framelog=verbose", "-f", "null", "-"],
        timeout_s=spec.timeout_s,
    )
    checked(path, done)
    readings = _LOUDNESS.findall(done.stderr)
    try:
        value = float(readings[-1]) if readings else float("-inf")
    except ValueError:
        return float("-inf")
    return value if value > SILENT_LUFS else float("-inf")
