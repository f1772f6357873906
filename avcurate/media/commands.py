"""What every ffmpeg command that writes a clip has in common: confined inputs, bit-exact outputs, checked ends."""

from __future__ import annotations

import json
from pathlib import Path

from avcurate.errors import MediaError
from avcurate.media import child

RATE = 48_000
AAC = ("-c:a", "aac", "-aac_coder", "fast", "-b:a", "160k", "-ar", str(RATE))
# one thread: the same picture gives the same bytes
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-threads", "1")
# codecs that a container accepts unchanged
COPIED = {".mp4": frozenset({"aac", "mp3"}), ".mkv": frozenset({"aac", "mp3", "opus", "vorbis", "flac"})}
# containers that accept a stream copy of their usual content; everything else goes into Matroska
MP4 = frozenset({".mp4", ".m4v", ".mov", ".3gp"})


def suffix_of(picture: Path) -> str:
    """Ending of the file a picture of this container is copied into."""
    return ".mp4" if picture.suffix.lower() in MP4 else ".mkv"


def start() -> list[str]:
    """The program and its options."""
    return [child.binary("ffmpeg"), "-nostdin", "-v", "error", "-y", "-threads", "1"]


def reading(path: Path) -> list[str]:
    """A local file as an input, and nothing that it refers to."""
    return [*(w for k, v in child.CONFINED.items() for w in (f"-{k}", v)), "-i", f"file:{path}"]


def ending(out: Path, note: dict[str, str]) -> list[str]:
    """Options of the output: no metadata but ``note``, as JSON in the comment, and the same bytes each time."""
    container = "mp4" if out.suffix in (".mp4", ".m4a") else "matroska"
    about = json.dumps(note, ensure_ascii=False)
    return [
        *("-map_metadata", "-1", "-metadata", f"comment={about}"),
        *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-f", container),
    ]


def checked(path: Path, done: object) -> None:
    """Refuse a command that failed.

    Raises:
        MediaError: ``media_corrupt``, with the first line it wrote.
    """
    code, stderr = getattr(done, "returncode", 1), getattr(done, "stderr", b"")
    if code != 0:
        lines = stderr.decode("utf-8", "replace").strip().splitlines()
        raise MediaError(
            "media_corrupt", f"{path}: {lines[0][:300] if lines else 'ffmpeg failed'}", "Fetch the file again."
        )
