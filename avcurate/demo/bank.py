"""The training clips of the embedded model: drawn, encoded, decoded, kept as arrays.

Several clips share one media file (a reel), which saves most of the cost of starting ffmpeg;
each has been through the same H.264 or AAC round trip as the clips of a demo world. Pictures and
sounds are recombined freely in training, so N of one and M of the other stand for N × M clips.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avcurate.demo.render import FPS, SAMPLE_RATE, SIZE, events, render_picture, render_sound
from avcurate.demo.world import (
    CLEAN,
    CLEAR,
    CLIP_SECONDS,
    FORMS,
    Hearing,
    Kind,
    Picture,
    Sight,
    Sound,
    draw_hearing,
    draw_picture,
    draw_sight,
    draw_sound,
)
from avcurate.media import child
from avcurate.media.decode import DecodeSpec, decode
from avcurate.seeds import derive_seed

REEL_PICTURES, REEL_SOUNDS = 20, 60


@dataclass(frozen=True)
class Bank:
    """Training clips in memory, all equally long.

    Attributes:
        frames: uint8 (N, 2 * seconds, 112, 112, 3), two frames a second.
        audio: int16 (3 N, 16000 * seconds), 16 kHz mono.
        pictures, sounds: what each shows and plays.
        events: what sounds when, for each sound.
        hard: whether the clips are of the hard world.
    """

    frames: NDArray[np.uint8]
    audio: NDArray[np.int16]
    pictures: list[Picture]
    sounds: list[Sound]
    events: list[list[tuple[str, float, float]]]
    seconds: int
    hard: bool


@dataclass(frozen=True)
class Reel:
    """One media file of a bank: its clips are known from these numbers alone."""

    seed: int
    index: int
    seconds: int = CLIP_SECONDS
    hard: bool = False

    @property
    def file(self) -> str:
        """Its name; the easy world's as it always was."""
        return f"reel-{self.seed}-{f'hard-{self.seconds}-' if self.hard else ''}{self.index:05d}.npz"

    def key(self, what: str) -> tuple[str | int, ...]:
        """What its randomness is drawn from."""
        return (what, self.seed, self.index, *(("hard", self.seconds) if self.hard else ()))

    def specs(self) -> tuple[list[Picture], list[Sound], list[Sight], list[Hearing]]:
        """What its clips show and play, and how well that is seen and heard."""
        rng = random.Random(derive_seed(*self.key("demo-train")))
        forms = (FORMS,) if self.hard else ()
        pictures = [draw_picture(rng, _kind(rng), *forms) for _ in range(REEL_PICTURES)]
        sounds = [draw_sound(rng, _kind(rng)) for _ in range(REEL_SOUNDS)]
        sights = [draw_sight(rng, self.seconds) if self.hard else CLEAR for _ in pictures]
        hearings = [draw_hearing(rng) if self.hard else CLEAN for _ in sounds]
        return pictures, sounds, sights, hearings

    def sound_seed(self, i: int) -> int:
        """The seed of its sound ``i``."""
        return derive_seed(*self.key("train-sound"), i)


def build_bank(
    folder: Path,
    clips: int,
    seed: int,
    workers: int,
    tick: Callable[[int], None] = lambda n: None,
    seconds: int = CLIP_SECONDS,
    hard: bool = False,
) -> Bank:
    """Make, or read back, the training clips of this seed; finished reels are reused.

    ``clips`` is the number of pictures; there are three times as many sounds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reels = [(folder, Reel(seed, i, seconds, hard)) for i in range(-(-clips // REEL_PICTURES))]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(_make_reel, reels):
            tick(REEL_PICTURES)
    frames, audio, pictures, sounds, heard = [], [], [], [], []
    for _, reel in reels:
        with np.load(folder / reel.file) as data:
            frames.append(data["frames"])
            audio.append(data["audio"])
        p, s, _, _ = reel.specs()
        pictures += p
        sounds += s
        heard += [events(sound, reel.sound_seed(i), seconds) for i, sound in enumerate(s)]
    return Bank(np.concatenate(frames), np.concatenate(audio), pictures, sounds, heard, seconds, hard)


def _kind(rng: random.Random) -> Kind:
    return "sequence" if rng.random() < 0.4 else "group"


def _make_reel(job: tuple[Path, Reel]) -> None:
    folder, reel = job
    target = folder / reel.file
    if target.exists():
        return
    pictures, sounds, sights, hearings = reel.specs()
    frames = np.concatenate(
        [
            render_picture(p, derive_seed(*reel.key("train-picture"), i), reel.seconds, sight)
            for i, (p, sight) in enumerate(zip(pictures, sights, strict=True))
        ]
    )
    samples = np.concatenate(
        [
            render_sound(s, reel.sound_seed(i), reel.seconds, hearing)
            for i, (s, hearing) in enumerate(zip(sounds, hearings, strict=True))
        ]
    )
    with tempfile.TemporaryDirectory(prefix="avcurate-reel-") as scratch:
        video = Path(scratch, "video.mp4")
        size = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE}x{SIZE}", "-r", str(FPS))
        coding = (
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-crf",
            "26",
            "-pix_fmt",
            "yuv420p",
            "-threads",
            "1",
        )
        _encode((*size, "-i", "pipe:0", *coding), video, frames.tobytes())
        audio = Path(scratch, "audio.mp4")
        pcm = ("-f", "f32le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", "pipe:0")
        _encode((*pcm, "-c:a", "aac", "-b:a", "64k"), audio, samples.astype("<f4").tobytes())
        spec = DecodeSpec(fps=2.0, max_frames=2 * reel.seconds * REEL_PICTURES, max_seconds=3600, timeout_s=300)
        seen, heard = decode(video, spec).frames, decode(audio, spec).audio
    assert seen is not None and heard is not None
    length = reel.seconds * SAMPLE_RATE
    kept = np.zeros(REEL_SOUNDS * length, np.int16)
    kept[: len(heard)] = (heard[: len(kept)] * 32767).astype(np.int16)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp.npz")
    np.savez(
        partial,
        frames=seen.reshape(REEL_PICTURES, 2 * reel.seconds, SIZE, SIZE, 3),
        audio=kept.reshape(REEL_SOUNDS, length),
    )
    os.replace(partial, target)


def _encode(options: tuple[str, ...], file: Path, data: bytes) -> None:
    command = [child.binary("ffmpeg"), "-nostdin", "-v", "error", "-y", *options, "-f", "mp4", f"file:{file}"]
    child.run(command, timeout_s=120, stdin=data).check_returncode()
