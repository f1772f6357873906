"""The training clips of the embedded model: drawn, encoded, decoded, kept as arrays.

Several clips share one media file (a reel), which saves most of the cost of starting ffmpeg;
each has been through the same H.264 and AAC round trip as the clips of a demo world. Pictures and
sounds are recombined freely in training, so N reel clips stand for N² clips.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avcurate.demo.render import FPS, SAMPLE_RATE, SIZE, render_picture, render_sound
from avcurate.demo.world import CLIP_SECONDS, Picture, Sound, draw_picture, draw_sound
from avcurate.media import child
from avcurate.media.decode import DecodeSpec, decode
from avcurate.seeds import derive_seed

REEL = 20
FRAMES = 2 * CLIP_SECONDS


@dataclass(frozen=True)
class Bank:
    """Training clips in memory.

    Attributes:
        frames: uint8 (N, 8, 112, 112, 3), two frames a second.
        audio: float32 (N, 64000), 16 kHz mono.
        pictures, sounds: what each shows and plays, N of each.
    """

    frames: NDArray[np.uint8]
    audio: NDArray[np.float32]
    pictures: list[Picture]
    sounds: list[Sound]


def build_bank(
    folder: Path, clips: int, seed: int, workers: int, tick: Callable[[int], None] = lambda n: None
) -> Bank:
    """Make, or read back, the first ``clips`` training clips of this seed; finished reels are reused."""
    folder.mkdir(parents=True, exist_ok=True)
    reels = [(folder, seed, i) for i in range((clips + REEL - 1) // REEL)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(_make_reel, reels):
            tick(REEL)
    frames, audio, pictures, sounds = [], [], [], []
    for reel in reels:
        with np.load(_reel_file(*reel)) as data:
            frames.append(data["frames"])
            audio.append(data["audio"])
        p, s = _specs(seed, reel[2])
        pictures += p
        sounds += s
    return Bank(
        np.concatenate(frames)[:clips], np.concatenate(audio)[:clips], pictures[:clips], sounds[:clips]
    )


def _reel_file(folder: Path, seed: int, index: int) -> Path:
    return folder / f"reel-{seed}-{index:05d}.npz"


def _specs(seed: int, index: int) -> tuple[list[Picture], list[Sound]]:
    rng = random.Random(derive_seed("demo-train", seed, index))
    # pictures and sounds are drawn apart: a reel clip need not have both of one kind
    pictures = [draw_picture(rng, "sequence" if rng.random() < 0.4 else "group") for _ in range(REEL)]
    sounds = [draw_sound(rng, "sequence" if rng.random() < 0.4 else "group") for _ in range(REEL)]
    return pictures, sounds


def _make_reel(job: tuple[Path, int, int]) -> None:
    folder, seed, index = job
    target = _reel_file(folder, seed, index)
    if target.exists():
        return
    pictures, sounds = _specs(seed, index)
    seeds = [derive_seed("demo-train-clip", seed, index, i) for i in range(REEL)]
    frames = np.concatenate([render_picture(p, s) for p, s in zip(pictures, seeds, strict=True)])
    samples = np.concatenate([render_sound(p, s) for p, s in zip(sounds, seeds, strict=True)])
    with tempfile.TemporaryDirectory(prefix="avcurate-reel-") as scratch:
        sound_file, reel_file = Path(scratch, "a.wav"), Path(scratch, "reel.mp4")
        with wave.open(str(sound_file), "wb") as f:
            f.setnchannels(1)
            f.setsampwidth(2)
            f.setframerate(SAMPLE_RATE)
            f.writeframes((samples * 32767).astype("<i2").tobytes())
        command = [
            child.binary("ffmpeg"),
            *("-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-s", f"{SIZE}x{SIZE}", "-r", str(FPS), "-i", "pipe:0", "-i", f"file:{sound_file}"),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p", "-threads", "1"),
            *("-c:a", "aac", "-b:a", "64k", "-f", "mp4", f"file:{reel_file}"),
        ]
        child.run(command, timeout_s=120, stdin=frames.tobytes()).check_returncode()
        clip = decode(reel_file, DecodeSpec(fps=2.0, max_frames=FRAMES * REEL, timeout_s=120))
    assert clip.frames is not None and clip.audio is not None
    length = CLIP_SECONDS * SAMPLE_RATE
    audio = np.zeros(REEL * length, np.float32)
    audio[: len(clip.audio)] = clip.audio[: len(audio)]
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp.npz")
    np.savez(partial, frames=clip.frames.reshape(REEL, FRAMES, SIZE, SIZE, 3), audio=audio.reshape(REEL, length))
    os.replace(partial, target)
