"""Another sound under a picture: ours, against encoding everything again, and against ffmpeg's own copy.

Ours checks what it made: the picture's packets are hashed before and after, lengths are compared, the file is written
beside its name and renamed. ``ffmpeg -c copy`` alone does none of that.
"""

from __future__ import annotations

import subprocess
import tempfile
from functools import partial
from pathlib import Path

from avcurate.media import child
from avcurate.media.swap import SwapSpec, swap
from benchmarks.harness import compare

SPEC, MATCHED = SwapSpec(match_loudness=False), SwapSpec()


def main() -> None:
    """Print the ratios on a 20 s clip of 1280 × 720."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ffmpeg = [child.binary("ffmpeg"), "-nostdin", "-v", "error", "-y"]
        picture = ["-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30:d=20"]
        tone = ["-f", "lavfi", "-i", "sine=440:d=20"]
        subprocess.run([*ffmpeg, *picture, *tone, "-preset", "veryfast", str(folder / "clip.mp4")], check=True)
        subprocess.run([*ffmpeg, *tone, str(folder / "donor.m4a")], check=True)
        subprocess.run([*ffmpeg, *tone, str(folder / "donor.wav")], check=True)
        for donor, case in (("donor.m4a", "sound copied too"), ("donor.wav", "sound re-encoded")):
            again = [
                *ffmpeg, "-i", str(folder / "clip.mp4"), "-i", str(folder / donor), "-map", "0:v:0", "-map", "1:a:0",
                "-c:v", "libx264", "-c:a", "aac", str(folder / "b.mp4"),
            ]  # fmt: skip
            compare(
                f"swap: decode and encode everything / copy the picture's packets and hash them twice, {case}",
                partial(swap, folder / "clip.mp4", folder / donor, folder / "a.mp4", SPEC, {}),
                partial(subprocess.run, again, check=True),
                repeats=3,
            )
        joined = ["-i", str(folder / "clip.mp4"), "-i", str(folder / "donor.m4a"), "-map", "0:v:0", "-map", "1:a:0"]
        copied = [*ffmpeg, *joined, "-c", "copy", str(folder / "c.mp4")]
        compare(
            "swap: ffmpeg -c copy / ours, the sound copied too",
            partial(swap, folder / "clip.mp4", folder / "donor.m4a", folder / "a.mp4", SPEC, {}),
            partial(subprocess.run, copied, check=True),
        )
        loud = [
            *ffmpeg,
            *joined,
            "-c:v",
            "copy",
            "-af",
            "loudnorm",
            "-ar",
            "48000",
            "-c:a",
            "aac",
            str(folder / "d.mp4"),
        ]
        compare(
            "swap: ffmpeg -c:v copy with loudnorm and AAC / ours, loudness matched",
            partial(swap, folder / "clip.mp4", folder / "donor.m4a", folder / "a.mp4", MATCHED, {}),
            partial(subprocess.run, loud, check=True),
        )


if __name__ == "__main__":
    main()
