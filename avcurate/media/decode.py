"""A clip decoded once: frames at a set rate with a cap, and 16 kHz mono audio.

Knows files and arrays; knows no model. One ffmpeg child writes both, so a clip costs one pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from avcurate.errors import MediaError
from avcurate.media import child
from avcurate.media.damage import Track, refuse_damage
from avcurate.media.probe import Probe, check_file, probe
from avcurate.media.reader import Reader
from avcurate.media.scratch import scratch
from avcurate.media.sizes import frame_size
from avcurate.store.atomic import sha256

SAMPLE_RATE = 16_000
CODEC_PADDING = 0.1
"""Seconds that a codec's padding may add to the sound of a clip."""

# ffmpeg's closing statistics, and the frames that a decoder may still hold when reading stops
_COUNTS = re.compile(rb"Input stream #0:\d+ \(video\): (\d+) packets read[^;\n]*; (\d+) frames decoded")
_DELAY = 8
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")


@dataclass(frozen=True)
class DecodeSpec:
    """How clips are decoded. Part of a recipe: a change of it changes what the model perceives."""

    fps: float = 2.0
    max_frames: int = 128
    max_pixels: int = 768 * 28 * 28
    max_seconds: float = 300.0
    timeout_s: float = 60.0
    memory_mb: int = 4096
    max_bytes: int = 8 << 30
    max_shortfall: float = 0.2
    keep_damaged: bool = False


@dataclass(frozen=True)
class DecodedClip:
    """One clip in memory.

    Attributes:
        frames: uint8 (T, H, W, 3) RGB, T even and at least 2, or ``None`` without a picture.
        fps: frames per second of ``frames`` (below the requested rate where the cap applied).
        audio: float32 (S,) mono at 16 kHz in [-1, 1], or ``None`` without a sound track.
        sha256: of the file's bytes; identifies the media in caches and reports.
        not_shown: seconds of the requested span beyond ``max_seconds``; 0 where the file does not state its length.
        tracks: how much of each track that the file has was expected, and how much decoded.
    """

    frames: NDArray[np.uint8] | None
    fps: float
    audio: NDArray[np.float32] | None
    duration: float
    sha256: str
    tracks: tuple[Track, ...] = ()
    not_shown: float = 0.0

    @property
    def shortfall(self) -> float:
        """Share of the requested span that could not be decoded, of the worst track; in [0, 1]."""
        return max((t.missing for t in self.tracks), default=0.0)

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        return sum(a.nbytes for a in (self.frames, self.audio) if a is not None)


@dataclass(frozen=True)
class _Read:
    """What one pass over a file yielded; ``destroyed``: share of picture packets without a frame."""

    frames: NDArray[np.uint8] | None
    audio: NDArray[np.float32] | None
    destroyed: float


def decode(
    path: Path,
    spec: DecodeSpec,
    start: float | None = None,
    end: float | None = None,
    reader: Reader | None = None,
) -> DecodedClip:
    """Decode one clip, or the part of it from ``start`` to ``end`` seconds.

    Args:
        reader: decodes whole, plain clips in its own process, where starting ffmpeg would cost more than the clip.

    Raises:
        MediaError: every reason of :func:`avcurate.media.probe.probe`, and ``media_bad_cut``,
            ``media_zero_length``, ``media_corrupt``; ``media_damaged`` where more than ``max_shortfall`` of a track
            could not be decoded, unless damaged clips are kept. A track that is present but cannot be decoded is
            damage, never absence.
    """
    if reader is not None and start is None and end is None:
        clip = _read_plainly(path, spec, reader)
        if clip is not None:
            return clip
    facts = probe(path, timeout_s=min(20.0, spec.timeout_s), max_bytes=spec.max_bytes)
    begin = start or 0.0
    limit, whole = spec.max_seconds, 0.0
    if end is not None:
        if end <= begin:
            raise MediaError("media_bad_cut", f"{path}: the cut ends at {end:g} s, before it starts at {begin:g} s.")
        whole = end - begin
    if facts.duration:
        if begin >= facts.duration:
            raise MediaError(
                "media_bad_cut",
                f"{path}: the cut starts at {begin:g} s but the clip lasts {facts.duration:g} s.",
            )
        whole = min(whole or facts.duration, facts.duration - begin)
    limit = min(limit, whole or limit)
    fps = min(spec.fps, spec.max_frames / limit)
    read = _run(path, facts, spec, begin, limit, fps)
    if fps < spec.fps and facts.has_video and (read.frames is None or len(read.frames) < spec.max_frames / 2):
        # the container claims to be longer than it is: its content fits at the full rate, or up to the cap
        fps = spec.fps
        read = _run(path, facts, spec, begin, limit, fps)
    tracks = _tracks(facts, begin, limit, fps, read)
    refuse_damage(path, tracks, spec.max_shortfall, keep_damaged=spec.keep_damaged)
    return DecodedClip(
        read.frames, fps, read.audio, max(t.decoded for t in tracks), sha256(path), tracks, max(0.0, whole - limit)
    )


def request_of(path: Path, spec: DecodeSpec, folder: Path) -> dict[str, Any]:
    """What a process of :mod:`avcurate.media.pyav` is asked; raw frames and samples go into the folder."""
    return {
        "path": str(path.absolute()),
        "video": str(folder / "v"),
        "audio": str(folder / "a"),
        "options": child.CONFINED | {"protocol_whitelist": "file"},
        "fps": spec.fps,
        "max_frames": spec.max_frames,
        "max_pixels": spec.max_pixels,
        "max_seconds": spec.max_seconds,
        "rate": SAMPLE_RATE,
    }


def _read_plainly(path: Path, spec: DecodeSpec, reader: Reader) -> DecodedClip | None:
    """The whole clip through PyAV; ``None`` where ffmpeg must say what it holds, or what is wrong with it."""
    check_file(path, spec.max_bytes)
    with scratch() as folder:
        request = request_of(path, spec, Path(folder))
        answer = reader.ask(request, timeout_s=spec.timeout_s, memory_mb=spec.memory_mb)
        if answer is None:
            return None
        size, fps = answer.pop("size"), answer.pop("fps")
        facts = Probe(**answer, size_bytes=path.stat().st_size)
        frames = _read_frames(Path(request["video"]), tuple(size)) if size else None
        audio = _read_audio(Path(request["audio"])) if facts.has_audio else None
    tracks = _tracks(facts, 0.0, facts.duration, fps, _Read(frames, audio, 0.0))
    capped = fps < spec.fps and facts.has_video and (frames is None or len(frames) < spec.max_frames / 2)
    if capped or any(t.missing > 0 for t in tracks):
        return None
    return DecodedClip(frames, fps, audio, max(t.decoded for t in tracks), sha256(path), tracks, 0.0)


def _tracks(facts: Probe, begin: float, limit: float, fps: float, read: _Read) -> tuple[Track, ...]:
    """Each track of the file, within the requested span."""

    def expected(whole: float) -> float | None:
        return max(0.0, min(whole - begin, limit)) if whole else None

    tracks = []
    if facts.has_video:
        frames = 0 if read.frames is None else len(read.frames)
        picture = expected(facts.video_seconds)
        tracks.append(Track("picture", picture, frames / fps, frames, 2 / fps, read.destroyed))
    if facts.has_audio:
        samples = 0 if read.audio is None else len(read.audio)
        tracks.append(Track("sound", expected(facts.audio_seconds), samples / SAMPLE_RATE, samples, 0.25))
    return tuple(tracks)


def _run(path: Path, facts: Probe, spec: DecodeSpec, begin: float, limit: float, fps: float) -> _Read:
    with scratch() as folder:
        video_file, audio_file = Path(folder, "v"), Path(folder, "a")
        size = frame_size(facts.width, facts.height, spec.max_pixels) if facts.has_video else None
        command = _command(path, facts, spec, begin, limit, fps, size, video_file, audio_file)
        done = child.run(command, timeout_s=spec.timeout_s, memory_mb=spec.memory_mb)
        frames = _read_frames(video_file, size) if size else None
        audio = _read_audio(audio_file) if facts.has_audio else None
    if frames is None and audio is None:
        _fail(path, done.returncode, done.stderr)
    return _Read(frames, audio, _destroyed(done.stderr))


def _destroyed(log: bytes) -> float:
    """Share of the picture's packets that could not be decoded; the frame rate filter repeats frames in their place.

    A packet without a frame is no damage by itself (hidden frames, a decoder's delay), so errors must have been logged.
    """
    counts = _COUNTS.search(log)
    if counts is None or b"[error]" not in log:
        return 0.0
    packets, frames = int(counts[1]), int(counts[2])
    return max(0.0, (packets - frames - _DELAY) / packets) if packets else 0.0


def _command(
    path: Path,
    facts: Probe,
    spec: DecodeSpec,
    begin: float,
    limit: float,
    fps: float,
    size: tuple[int, int] | None,
    video_file: Path,
    audio_file: Path,
) -> list[str]:
    cut = {"ss": begin} if begin else {}
    source = ffmpeg.input(f"file:{path}", **child.CONFINED, **cut)
    outputs = []
    if size is not None:
        picture = source.video.filter("fps", fps=fps).filter("scale", *size)
        outputs.append(
            ffmpeg.output(
                picture,
                f"file:{video_file}",
                f="rawvideo",
                pix_fmt="rgb24",
                t=limit,
                **{"frames:v": spec.max_frames},
            )
        )
    if facts.has_audio:
        outputs.append(ffmpeg.output(source.audio, f"file:{audio_file}", f="f32le", ac=1, ar=SAMPLE_RATE, t=limit))
    if not outputs:
        raise MediaError("media_no_streams", f"{path} has neither picture nor sound.")
    stream = ffmpeg.merge_outputs(*outputs).global_args(
        "-nostdin", "-v", "level+verbose", "-threads", "1", "-filter_threads", "1"
    )
    command: list[str] = stream.compile(cmd=child.binary("ffmpeg"), overwrite_output=True)
    return command


def _read_frames(file: Path, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    width, height = size
    raw = np.fromfile(file, np.uint8) if file.exists() else np.empty(0, np.uint8)
    count = raw.size // (width * height * 3)
    if count == 0:
        return None
    frames = raw[: count * width * height * 3].reshape(count, height, width, 3)
    # vision towers merge frames in pairs; an odd clip repeats its last frame
    return np.concatenate([frames, frames[-1:]]) if count % 2 else frames


def _read_audio(file: Path) -> NDArray[np.float32] | None:
    raw = np.fromfile(file, "<f4") if file.exists() else np.empty(0, np.float32)
    if raw.size == 0:
        return None
    return np.clip(np.nan_to_num(raw.astype(np.float32)), -1.0, 1.0)


def _fail(path: Path, returncode: int, stderr: bytes) -> None:
    logged = stderr.decode("utf-8", "replace").splitlines()
    lines = [line for line in logged if "[error]" in line or "[fatal]" in line]
    # without the address of the decoder, so that a row's message is the same each time
    detail = _ADDRESS.sub("", lines[0])[:300] if lines else "nothing could be decoded"
    if returncode == 0 and not lines:
        raise MediaError("media_zero_length", f"{path} has neither frames nor samples.", "Fetch the clip again.")
    raise MediaError("media_corrupt", f"{path} cannot be decoded: {detail}", "The file is broken; fetch it again.")
