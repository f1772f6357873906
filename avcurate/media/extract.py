"""One stream of a clip, or of a part of it, as a separate file that any reader opens."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import ffmpeg  # type: ignore[import-untyped]

from avcurate.errors import MediaError
from avcurate.media import child
from avcurate.media.probe import probe
from avcurate.store.atomic import write_atomic

RATE = 16_000
# exact cuts need re-encoding: a copied stream can begin at key frames only
H264 = {
    "f": "mp4",
    "vcodec": "libx264",
    "crf": 18,
    "preset": "veryfast",
    "pix_fmt": "yuv420p",
    "movflags": "+faststart",
}
WAV = {"f": "wav", "acodec": "pcm_s16le", "ac": 1, "ar": RATE}


def extract(
    clip: Path,
    out: Path,
    stream: Literal["audio", "visual"],
    start: float | None = None,
    end: float | None = None,
    *,
    timeout_s: float = 300.0,
) -> None:
    """Write the sound (wav, 16 kHz mono) or the picture (H.264, without sound) from ``start`` to ``end`` seconds.

    Raises:
        MediaError: every reason of ``probe``; ``stream_missing``, ``media_bad_cut``, ``media_corrupt``.
    """
    facts = probe(clip)
    if not (facts.has_audio if stream == "audio" else facts.has_video):
        raise MediaError("stream_missing", f"{clip} has no {'sound' if stream == 'audio' else 'picture'}.")
    begin = start or 0.0
    if (end is not None and end <= begin) or (facts.duration and begin >= facts.duration):
        raise MediaError("media_bad_cut", f"{clip}: there is nothing from {begin:g} s to {end} s.")
    source = ffmpeg.input(f"file:{clip}", **child.CONFINED, **({"ss": begin} if begin else {}))
    length = {} if end is None else {"t": end - begin}
    if stream == "audio":
        node, options = source.audio, WAV
    else:
        # H.264 requires even sides
        node, options = source.video.filter("scale", "trunc(iw/2)*2", "trunc(ih/2)*2"), H264

    def write(path: Path) -> None:
        stream_out = ffmpeg.output(node, f"file:{path}", **options, **length).global_args("-nostdin", "-v", "error")
        done = child.run(stream_out.compile(cmd=child.binary("ffmpeg"), overwrite_output=True), timeout_s=timeout_s)
        if done.returncode or not path.stat().st_size:
            errors = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise MediaError("media_corrupt", f"{clip} cannot be decoded: {errors[0][:300] if errors else 'no data'}")

    write_atomic(out, write)
