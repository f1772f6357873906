"""Another sound under a picture: the picture's packets copied, against decoding and encoding it again."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from avcurate.media import child
from avcurate.media.swap import SwapSpec, swap
from benchmarks.harness import compare


def main() -> None:
    """Print the ratio on a 20 s clip of 1280 × 720; no loudness is measured on either side."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ffmpeg = [child.binary("ffmpeg"), "-nostdin", "-v", "error", "-y"]
        picture = ["-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30:d=20"]
        tone = ["-f", "lavfi", "-i", "sine=440:d=20"]
        subprocess.run([*ffmpeg, *picture, *tone, "-preset", "veryfast", str(folder / "clip.mp4")], check=True)
        subprocess.run([*ffmpeg, *tone, str(folder / "donor.wav")], check=True)
        spec = SwapSpec(match_loudness=False)
        again = [
            *ffmpeg, "-i", str(folder / "clip.mp4"), "-i", str(folder / "donor.wav"), "-map", "0:v:0", "-map", "1:a:0",
            "-c:v", "libx264", "-c:a", "aac", str(folder / "b.mp4"),
        ]  # fmt: skip
        compare(
            "swap: decode and encode the picture / copy its packets (and hash them twice)",
            lambda: swap(folder / "clip.mp4", folder / "donor.wav", folder / "a.mp4", spec, {}),
            lambda: subprocess.run(again, check=True),
            repeats=3,
        )


if __name__ == "__main__":
    main()
