"""Decoding: once a question against once a setting; in our killable process against PyAV in this one, and ffmpeg.

A folder of clips as the argument takes the place of the demo world's.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from avcurate.demo.build import draw_world
from avcurate.demo.clips import write_clip
from avcurate.media.ablate import show
from avcurate.media.decode import DecodeSpec, decode, request_of
from avcurate.media.pyav import Unsure, read
from avcurate.media.reader import Reader
from avcurate.schema import Setting
from benchmarks.harness import compare

CLIPS = 12
SPEC = DecodeSpec(max_frames=32)


def main() -> None:
    """Print the ratio."""
    with tempfile.TemporaryDirectory() as scratch:
        clips = list({i.clip.name: i.clip for i in draw_world(3 * CLIPS, 0)}.values())
        files = []
        for clip in clips:
            files.append(Path(scratch, f"{clip.name}.mp4"))
            write_clip(clip, files[-1])

        def once() -> None:
            for file in files:
                clip = decode(file, SPEC)
                for setting in Setting:
                    show(clip, setting, "drop")

        def per_setting() -> None:
            for file in files:
                for setting in Setting:
                    show(decode(file, SPEC), setting, "drop")

        compare("media: decode per setting / decode once", once, per_setting)
        if len(sys.argv) > 1:
            files = sorted(Path(sys.argv[1]).glob("*.mp4"))[:CLIPS]
        reader = Reader()

        def ours() -> None:
            for file in files:
                decode(file, SPEC, reader=reader)

        def by_ffmpeg() -> None:
            for file in files:
                decode(file, SPEC)

        def in_process() -> None:
            for file in files:
                with suppress(Unsure):
                    read(request_of(file, SPEC, Path(scratch)))

        ours()
        compare("media: PyAV in this process / in ours, which may be killed", ours, in_process)
        compare("media: ffprobe and ffmpeg for each clip / our process", ours, by_ffmpeg)
        reader.close()


if __name__ == "__main__":
    main()
