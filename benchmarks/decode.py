"""A clip shown under A, V and AV: decoded once and ablated in memory, against one decode per setting."""

from __future__ import annotations

import tempfile
from pathlib import Path

from avcurate.demo.build import draw_world
from avcurate.demo.clips import write_clip
from avcurate.media.ablate import show
from avcurate.media.decode import DecodeSpec, decode
from avcurate.schema import Setting
from benchmarks.harness import compare

CLIPS = 12


def main() -> None:
    """Print the ratio."""
    spec = DecodeSpec(max_frames=32)
    with tempfile.TemporaryDirectory() as scratch:
        clips = list({i.clip.name: i.clip for i in draw_world(3 * CLIPS, 0)}.values())
        files = []
        for clip in clips:
            files.append(Path(scratch, f"{clip.name}.mp4"))
            write_clip(clip, files[-1])

        def once() -> None:
            for file in files:
                clip = decode(file, spec)
                for setting in Setting:
                    show(clip, setting, "drop")

        def per_setting() -> None:
            for file in files:
                for setting in Setting:
                    show(decode(file, spec), setting, "drop")

        compare("media: decode per setting / decode once", once, per_setting)


if __name__ == "__main__":
    main()
