"""What a media file says it holds, before any of it is decoded."""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.errors import MediaError
from avcurate.media import child
from avcurate.media.remote import ensure
from avcurate.media.sizes import length_of


@dataclass(frozen=True)
class Probe:
    """Container facts. Durations in seconds (0 where the container gives none), sizes in pixels as shown.

    ``audio_seconds`` and ``video_seconds`` are those of the streams themselves.
    """

    duration: float
    has_audio: bool
    has_video: bool
    width: int
    height: int
    sample_rate: int
    channels: int
    size_bytes: int
    audio_seconds: float = 0.0
    video_seconds: float = 0.0


def probe(path: Path, *, timeout_s: float = 20.0, max_bytes: int = 8 << 30) -> Probe:
    """Read the container of a local file.

    Raises:
        MediaError: ``media_missing``, ``media_not_a_file``, ``media_empty``, ``media_too_large``,
            ``media_unreadable`` (not a media file, or broken beyond its header) or ``media_timeout``.
    """
    check_file(path, max_bytes)
    report = _ffprobe(path, ["-show_format", "-show_streams"], timeout_s)
    return _summary(report.get("format", {}), report["streams"], path.stat().st_size)


def check_file(path: Path, max_bytes: int = 8 << 30) -> None:
    """Check that a path is a regular file of a size that media can have.

    Raises:
        MediaError: ``media_missing``, ``media_not_a_file``, ``media_empty`` or ``media_too_large``;
            ``media_unreachable`` where it stands for a file elsewhere that cannot be fetched.
    """
    ensure(path, max_bytes)
    try:
        info = path.stat()
    except (OSError, ValueError):
        raise MediaError(
            "media_missing", f"{path} does not exist.", "Check --media and the naming of the clips."
        ) from None
    if not stat.S_ISREG(info.st_mode):
        raise MediaError("media_not_a_file", f"{path} is not a regular file.")
    if info.st_size == 0:
        raise MediaError("media_empty", f"{path} is empty (0 bytes).", "Fetch the clip again.")
    if info.st_size > max_bytes:
        raise MediaError(
            "media_too_large",
            f"{path} has {info.st_size} bytes, over the limit of {max_bytes}.",
            "Cut the clip, or raise media.max_bytes in the recipe.",
        )


def _ffprobe(path: Path, entries: list[str], timeout_s: float) -> dict[str, Any]:
    """What ffprobe reports, as JSON with at least one stream."""
    done = child.run(
        [
            child.binary("ffprobe"),
            *("-v", "error", *(word for k, v in child.CONFINED.items() for word in (f"-{k}", v))),
            *(*entries, "-of", "json"),
            f"file:{path}",
        ],
        timeout_s=timeout_s,
        memory_mb=2048,
    )
    try:
        facts: dict[str, Any] = json.loads(done.stdout or b"{}")
    except json.JSONDecodeError:
        facts = {}
    streams = [s for s in facts.get("streams", []) if isinstance(s, dict)]
    if done.returncode != 0 or not streams:
        raise MediaError(
            "media_unreadable",
            f"{path} cannot be read: {_first_line(done.stderr)}",
            "The file is not media, or is broken; fetch it again.",
        )
    return facts | {"streams": streams}


@dataclass(frozen=True)
class Packets:
    """A file's first picture and first sound by their packets: nothing is decoded.

    Attributes:
        facts: what the container says.
        picture_seconds: length of the picture, from its packets; 0 without one.
        sound_seconds: length of the sound; 0 without one.
        picture_sha256: hash over the packets of the picture, in their order; equal hashes are equal pictures.
        sound_codec: ffmpeg's name of the sound's codec; empty without one.
        sound_sha256: the same hash over the packets of the sound.
    """

    facts: Probe
    picture_seconds: float
    sound_seconds: float
    picture_sha256: str
    sound_codec: str
    sound_sha256: str


def read_packets(path: Path, *, timeout_s: float = 60.0) -> Packets:
    """Read every packet of a local file once.

    Raises:
        MediaError: as ``probe``; ``media_corrupt`` where packets have no times.
    """
    check_file(path)
    entries = "packet=stream_index,pts_time,duration_time,data_hash"
    shown = ["-show_format", "-show_streams", "-show_entries", entries, "-show_data_hash", "sha256"]
    report = _ffprobe(path, shown, timeout_s)
    streams = report["streams"]
    picture = next((s for s in streams if s.get("codec_type") == "video" and not _is_cover(s)), None)
    sound = next((s for s in streams if s.get("codec_type") == "audio"), None)
    digests = {"video": hashlib.sha256(), "audio": hashlib.sha256()}
    times: dict[str, list[tuple[float, float]]] = {"video": [], "audio": []}
    kind_of = {s["index"]: kind for s, kind in ((picture, "video"), (sound, "audio")) if s is not None}
    for packet in report.get("packets", []):
        kind = kind_of.get(packet.get("stream_index"))
        if kind is None:
            continue
        digests[kind].update(packet.get("data_hash", "").encode())
        if "pts_time" in packet:
            start = float(packet["pts_time"])
            times[kind].append((start, start + float(packet.get("duration_time") or 0)))
    for stream, kind in ((picture, "video"), (sound, "audio")):
        if stream is not None and not times[kind]:
            raise MediaError("media_corrupt", f"{path}: its packets cannot be read.", "Fetch the file again.")

    def length(kind: str) -> float:
        if not times[kind]:
            return 0.0
        return max(end for _, end in times[kind]) - max(0.0, min(start for start, _ in times[kind]))

    facts = _summary(report.get("format", {}), streams, path.stat().st_size)
    codec = str((sound or {}).get("codec_name") or "")
    picture_sha, sound_sha = (digests[k].hexdigest() for k in ("video", "audio"))
    return Packets(facts, length("video"), length("audio"), picture_sha, codec, sound_sha)


def _summary(container: dict[str, Any], streams: list[dict[str, Any]], size: int) -> Probe:
    video = next((s for s in streams if s.get("codec_type") == "video" and not _is_cover(s)), None)
    audio = next((s for s in streams if s.get("codec_type") == "audio"), None)
    begins = _time(container.get("start_time"))
    tracks = [(_time(s.get("start_time")) - begins, _seconds(s)) for s in (video, audio) if s is not None]
    width = int((video or {}).get("width") or 0)
    height = int((video or {}).get("height") or 0)
    if video is not None and abs(_rotation(video)) % 180 == 90:
        width, height = height, width
    return Probe(
        duration=length_of(_float(container.get("duration")), tracks),
        has_audio=audio is not None,
        has_video=video is not None,
        width=width,
        height=height,
        sample_rate=int((audio or {}).get("sample_rate") or 0),
        channels=int((audio or {}).get("channels") or 0),
        size_bytes=size,
        audio_seconds=_seconds(audio),
        video_seconds=_seconds(video),
    )


def _seconds(stream: dict[str, Any] | None) -> float:
    """A stream's own length; Matroska writes it as a tag, ``00:00:10.021000000``."""
    if stream is None:
        return 0.0
    tag = str(stream.get("tags", {}).get("DURATION") or "").split(":")
    if not stream.get("duration") and len(tag) == 3:
        return 3600 * _float(tag[0]) + 60 * _float(tag[1]) + _float(tag[2])
    return _float(stream.get("duration"))


def _is_cover(stream: dict[str, Any]) -> bool:
    return bool(stream.get("disposition", {}).get("attached_pic"))


def _rotation(stream: dict[str, Any]) -> int:
    for side in stream.get("side_data_list", []):
        if "rotation" in side:
            return int(side["rotation"])
    return 0


def _time(value: object) -> float:
    """Seconds, of either sign; 0 where there is none."""
    try:
        number = float(str(value))
    except ValueError:
        return 0.0
    return number if abs(number) < 1e9 else 0.0


def _float(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        return 0.0
    return number if 0 < number < 1e9 else 0.0


def _first_line(stderr: bytes) -> str:
    text = stderr.decode("utf-8", "replace").strip().splitlines()
    return text[-1][:300] if text else "no stream found"
