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

from avcurate.demo.render import FPS, SAMPLE_RATE, SIZE, render_picture, render_sound
from avcurate.demo.world import CLIP_SECONDS, Kind, Picture, Sound, draw_picture, draw_sound
from avcurate.media import child
from avcurate.media.decode import DecodeSpec, decode
from avcurate.seeds import derive_seed

REEL_PICTURES, REEL_SOUNDS = 20, 60
FRAMES = 2 * CLIP_SECONDS


@dataclass(frozen=True)
class Bank:
    """Training clips in memory.

    Attributes:
        frames: uint8 (N, 8, 112, 112, 3), two frames a second.
        audio: int16 (3 N, 64000), 16 kHz mono.
        pictures, sounds: what each shows and plays.
    """

    frames: NDArray[np.uint8]
    audio: NDArray[np.int16]
    pictures: list[Picture]
    sounds: list[Sound]


def build_bank(folder: Path, clips: int, seed: int, workers: int, tick: Callable[[int], None] = lambda n: None) -> Bank:
    """Make, or read back, the training clips of this seed; finished reels are reused.

    ``clips`` is the number of pictures; there are three times as many sounds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reels = [(folder, seed, i) for i in range(-(-clips // REEL_PICTURES))]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(_make_reel, reels):
            tick(REEL_PICTURES)
    frames, audio, pictures, sounds = [], [], [], []
    for reel in reels:
        with np.load(_reel_file(*reel)) as data:
            frames.append(data["frames"])
            audio.append(data["audio"])
        p, s = _specs(seed, reel[2])
        pictures += p
        sounds += s
    return Bank(np.concatenate(frames), np.concatenate(audio), pictures, sounds)


def _reel_file(folder: Path, seed: int, index: int) -> Path:
    return folder / f"reel-{seed}-{index:05d}.npz"


def _specs(seed: int, index: int) -> tuple[list[Picture], list[Sound]]:
    rng = random.Random(derive_seed("demo-train", seed, index))
    pictures = [draw_picture(rng, _kind(rng)) for _ in range(REEL_PICTURES)]
    sounds = [draw_sound(rng, _kind(rng)) for _ in range(REEL_SOUNDS)]
    return pictures, sounds


def _kind(rng: random.Random) -> Kind:
    return "sequence" if rng.random() < 0.4 else "group"


def _make_reel(job: tuple[Path, int, int]) -> None:
    folder, seed, index = job
    target = _reel_file(folder, seed, index)
    if target.exists():
        return
    pictures, sounds = _specs(seed, index)
    frames = np.concatenate(
        [render_picture(p, derive_seed("train-picture", seed, index, i)) for i, p in enumerate(pictures)]
    )
    samples = np.concatenate(
        [render_sound(s, derive_seed("train-sound", seed, index, i)) for i, s in enumerate(sounds)]
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
        spec = DecodeSpec(fps=2.0, max_frames=FRAMES * REEL_PICTURES, timeout_s=120)
        seen, heard = decode(video, spec).frames, decode(audio, spec).audio
    assert seen is not None and heard is not None
    length = CLIP_SECONDS * SAMPLE_RATE
    kept = np.zeros(REEL_SOUNDS * length, np.int16)
    kept[: len(heard)] = (heard[: len(kept)] * 32767).astype(np.int16)
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp.npz")
    np.savez(
        partial,
        frames=seen.reshape(REEL_PICTURES, FRAMES, SIZE, SIZE, 3),
        audio=kept.reshape(REEL_SOUNDS, length),
    )
    os.replace(partial, target)


def _encode(options: tuple[str, ...], file: Path, data: bytes) -> None:
    command = [child.binary("ffmpeg"), "-nostdin", "-v", "error", "-y", *options, "-f", "mp4", f"file:{file}"]
    child.run(command, timeout_s=120, stdin=data).check_returncode()
