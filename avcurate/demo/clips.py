"""Clips of the demo world written as real media files (H.264 + AAC in mp4) by ffmpeg."""

from __future__ import annotations

import os
import tempfile
import wave
from pathlib import Path

import numpy as np

from avcurate.demo.render import FPS, SAMPLE_RATE, SIZE, render_picture, render_sound
from avcurate.demo.world import Clip
from avcurate.errors import UserError
from avcurate.media import child


def write_clip(clip: Clip, path: Path) -> None:
    """Render and encode one clip, atomically.

    The encoder runs with one thread and bit-exact flags, so the same clip gives the same bytes
    with the same ffmpeg build. No metadata of the clip is written into the file.
    """
    frames = render_picture(clip.picture, clip.seed, clip.seconds, clip.sight)
    samples = render_sound(clip.sound, clip.seed, clip.seconds, clip.hearing)
    with tempfile.TemporaryDirectory(prefix="avcurate-demo-") as scratch:
        sound_file = Path(scratch, "sound.wav")
        with wave.open(str(sound_file), "wb") as f:
            f.setnchannels(1)
            f.setsampwidth(2)
            f.setframerate(SAMPLE_RATE)
            f.writeframes((samples * 32767).astype("<i2").tobytes())
        partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        command = [
            child.binary("ffmpeg"),
            *("-nostdin", "-v", "error", "-y", "-threads", "1"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE}x{SIZE}", "-r", str(FPS), "-i", "pipe:0"),
            *("-i", f"file:{sound_file}"),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p", "-threads", "1"),
            *("-c:a", "aac", "-b:a", "64k", "-t", str(clip.seconds)),
            *(
                "-map_metadata",
                "-1",
                "-fflags",
                "+bitexact",
                "-flags",
                "+bitexact",
                "-f",
                "mp4",
                f"file:{partial}",
            ),
        ]
        done = child.run(command, timeout_s=60, stdin=np.ascontiguousarray(frames).tobytes())
        if done.returncode != 0:
            partial.unlink(missing_ok=True)
            raise UserError(
                f"ffmpeg could not write {path}: {done.stderr.decode('utf-8', 'replace')[:300]}",
                "It needs the libx264 and aac encoders; `avcurate doctor` checks them.",
            )
        os.replace(partial, path)
