"""Another sound under a picture: the picture's packets copied, against decoding and re-encoding it."""

from __future__ import annotations

import subprocess
import tempfile
from functools import partial
from pathlib import Path

from avcurate.media import child
from avcurate.media.swap import SwapSpec, swap
from benchmarks.harness import compare

SPEC = SwapSpec(match_loudness=False)


def main() -> None:
    """Print the ratio on a 20 s clip of 1280 × 720; no loudness is measured on either side."""
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


if __name__ == "__main__":
    main()
