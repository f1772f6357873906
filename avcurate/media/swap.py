"""Puts another sound under a picture without touching the picture: its packets are copied and their hash compared."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avcurate.errors import MediaError
from avcurate.media import child
from avcurate.media.probe import Probe, probe
from avcurate.store.atomic import write_atomic

Fit = Literal["loop", "pad"]
SILENT_LUFS = -69.0
STANDARD_LUFS = -23.0
MAX_GAIN_DB = 30.0
RATE = 48_000
LENGTH_TOLERANCE = 0.1
# containers that take a stream copy of what usually lies in them; everything else goes into Matroska
MP4 = frozenset({".mp4", ".m4v", ".mov", ".3gp"})
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
    """What was made.

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


def suffix_of(picture: Path) -> str:
    """Ending of the file a picture of this container is copied into."""
    return ".mp4" if picture.suffix.lower() in MP4 else ".mkv"


def swap(picture: Path, donor: Path | None, out: Path, spec: SwapSpec, note: dict[str, str]) -> Swapped:
    """Write ``out``: the picture's first video stream, copied, and the donor's first sound, fitted.

    Args:
        picture: clip whose picture is kept; its own sound sets the loudness.
        donor: clip or sound file; ``None`` makes silence.
        out: file to write, atomically.
        spec: how the sound is fitted.
        note: what the file's ``comment`` tag says of it, as JSON.

    Raises:
        MediaError: every reason of ``probe``; ``picture_without_video``, ``donor_without_audio``,
            ``donor_too_short``, ``media_corrupt``, ``picture_changed``, ``lengths_differ``.
    """
    facts = probe(picture, timeout_s=spec.timeout_s)
    if not facts.has_video:
        raise MediaError("picture_without_video", f"{picture} has no picture.", "Pair it with another clip.")
    seconds = picture_seconds(picture, spec)
    sound, fitted, gain = _sound(picture, facts, donor, seconds, spec)
    before = picture_hash(picture, spec)
    command = [
        *_ffmpeg(),
        *_input(picture),
        *sound,
        *(
            "-map",
            "0:V:0",
            "-map",
            "1:a:0",
            "-c:v",
            "copy",
            "-c:a",
            "aac",
            "-b:a",
            "160k",
            "-ar",
            str(RATE),
            "-ac",
            "2",
        ),
        *("-map_metadata", "-1", "-metadata", f"comment={json.dumps(note, ensure_ascii=False)}"),
        *("-fflags", "+bitexact", "-flags:a", "+bitexact", "-f", "mp4" if out.suffix == ".mp4" else "matroska"),
    ]

    def make(partial: Path) -> None:
        _checked(picture, child.run([*command, f"file:{partial}"], timeout_s=spec.timeout_s))
        after = picture_hash(partial, spec)
        if after != before:
            raise MediaError(
                "picture_changed",
                f"{picture}: its packets cannot be copied into {out.suffix} as they are.",
                "Remux the clip to mp4 or mkv first.",
            )
        made = sound_seconds(partial, spec)
        if abs(made - seconds) > LENGTH_TOLERANCE:
            raise MediaError(
                "lengths_differ", f"{picture}: the sound came out {made:.2f} s long, the picture is {seconds:.2f} s."
            )

    write_atomic(out, make)
    return Swapped(seconds, fitted, gain, before)


def _sound(
    picture: Path, facts: Probe, donor: Path | None, seconds: float, spec: SwapSpec
) -> tuple[list[str], str, float]:
    """ffmpeg's words for the second input and its filter, how it was fitted, and the gain."""
    length = f"{seconds:.6f}"
    if donor is None:
        return ["-f", "lavfi", "-t", length, "-i", "anullsrc=r=48000:cl=stereo"], "whole", 0.0
    held = probe(donor, timeout_s=spec.timeout_s)
    if not held.has_audio:
        raise MediaError("donor_without_audio", f"{donor} has no sound.", "Choose another donor.")
    sounds = sound_seconds(donor, spec)
    if sounds < spec.least_seconds:
        raise MediaError(
            "donor_too_short", f"{donor} sounds for {sounds:.2f} s, under {spec.least_seconds:g} s.", "Choose another."
        )
    gain = 0.0
    if spec.match_loudness:
        own = loudness(picture, spec) if facts.has_audio else float("-inf")
        wanted = own if own > SILENT_LUFS else STANDARD_LUFS
        given = loudness(donor, spec)
        if given > SILENT_LUFS:
            gain = max(-MAX_GAIN_DB, min(MAX_GAIN_DB, wanted - given))
    short = sounds < seconds - 0.02
    fitted = ("looped" if spec.fit == "loop" else "padded") if short else "cut" if sounds > seconds + 0.02 else "whole"
    # looped in the filter, not by the demuxer: that one ends early with some files
    samples = int((sounds + 1.0) * RATE)
    repeat = [f"aloop=loop=-1:size={samples}"] if short and spec.fit == "loop" else ["apad"]
    level = [f"volume={gain:.3f}dB", "alimiter=limit=0.97:level=0"]
    chain = [f"aresample={RATE}", *repeat, *level, f"atrim=0:{length}"]
    return [*_input(donor), "-filter:a", ",".join(chain)], fitted, round(gain, 3)


def picture_hash(path: Path, spec: SwapSpec) -> str:
    """SHA-256 over the packets of the first video stream, as they lie in the file."""
    words = [*_ffmpeg(), *_input(path), "-map", "0:V:0", "-c", "copy", "-f", "hash", "-hash", "sha256", "pipe:1"]
    done = child.run(words, timeout_s=spec.timeout_s)
    _checked(path, done)
    return done.stdout.decode().strip().removeprefix("SHA256=")


def picture_seconds(path: Path, spec: SwapSpec) -> float:
    """Length of the first video stream, from its packets."""
    return _packet_seconds(path, "V:0", spec)


def sound_seconds(path: Path, spec: SwapSpec) -> float:
    """Length of the first audio stream, from its packets."""
    return _packet_seconds(path, "a:0", spec)


def _packet_seconds(path: Path, stream: str, spec: SwapSpec) -> float:
    confined = [w for k, v in child.CONFINED.items() for w in (f"-{k}", v)]
    words = ["-v", "error", *confined, "-select_streams", stream, "-show_entries", "packet=pts_time,duration_time"]
    done = child.run(
        [child.binary("ffprobe"), *words, "-of", "json", f"file:{path}"], timeout_s=spec.timeout_s, memory_mb=2048
    )
    try:
        packets = json.loads(done.stdout)["packets"]
        begins = [float(p["pts_time"]) for p in packets if "pts_time" in p]
        ends = [float(p["pts_time"]) + float(p.get("duration_time") or 0) for p in packets if "pts_time" in p]
        return max(ends) - max(0.0, min(begins))
    except (ValueError, KeyError, TypeError):
        raise MediaError("media_corrupt", f"{path}: its packets cannot be read.", "Fetch the file again.") from None


def loudness(path: Path, spec: SwapSpec) -> float:
    """Integrated loudness of the first sound, LUFS; -inf for silence and for what is too short to measure."""
    words = [child.binary("ffmpeg"), "-nostdin", "-hide_banner", "-v", "info", *_input(path), "-map", "0:a:0"]
    done = child.run(
        [*words, "-af", "aformat=sample_rates=48000,ebur128=framelog=verbose", "-f", "null", "-"],
        timeout_s=spec.timeout_s,
    )
    _checked(path, done)
    found = _LOUDNESS.findall(done.stderr)
    try:
        value = float(found[-1]) if found else float("-inf")
    except ValueError:
        return float("-inf")
    return value if value > SILENT_LUFS else float("-inf")


def _ffmpeg() -> list[str]:
    return [child.binary("ffmpeg"), "-nostdin", "-v", "error", "-y", "-threads", "1"]


def _input(path: Path) -> list[str]:
    return [*(w for k, v in child.CONFINED.items() for w in (f"-{k}", v)), "-i", f"file:{path}"]


def _checked(path: Path, done: object) -> None:
    code, stderr = getattr(done, "returncode", 1), getattr(done, "stderr", b"")
    if code != 0:
        lines = stderr.decode("utf-8", "replace").strip().splitlines()
        raise MediaError(
            "media_corrupt", f"{path}: {lines[0][:300] if lines else 'ffmpeg failed'}", "Fetch the file again."
        )
