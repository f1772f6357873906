"""What a question shows of its clip under a condition: the request, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from avcurate.engines.base import Engine, Request
from avcurate.media.ablate import show
from avcurate.media.decode import SAMPLE_RATE, DecodedClip
from avcurate.runner.stage import Filtered, Row
from avcurate.scheduler.ability import over_limit
from avcurate.scheduler.spec import AskSpec, Condition
from avcurate.scheduler.unit import key_of
from avcurate.schema import Setting
from avcurate.seeds import derive_seed


def unaskable(engine: Engine, row: Row, clip: DecodedClip, settings: Sequence[Setting]) -> Filtered | None:
    """Why a question cannot be asked: its clip lacks a track that a setting shows, or has more sound than can be heard.

    Raises:
        RowError: its text holds a special token.
    """
    engine.refuse_special(row["question"], *row["choices"])
    for track, reason, what, is_shown in (
        (clip.audio, "no_audio_track", "sound", any(s.audio for s in settings)),
        (clip.frames, "no_video_track", "picture", any(s.video for s in settings)),
    ):
        if track is None and is_shown:
            return Filtered(reason, f"{row['media']} has no {what} to show.")
    over = over_limit(engine, clip) if any(s.audio for s in settings) else 0.0
    if over:
        assert engine.family is not None
        limit = f"{engine.family.about} takes {engine.family.longest_sound:g} s of sound"
        return Filtered("over_family_limit", f"{row['media']} is {over:.1f} s too long: {limit}.")
    return None


def request_of(
    engine: Engine, spec: AskSpec, row: Row, clip: DecodedClip, condition: Condition, n: int, first: int = 0
) -> Request:
    """The request for ``n`` responses from number ``first`` on, as every task asks it."""
    row_id = str(row["question_id"])
    audio, frames = show(clip, condition.setting, spec.ablation)
    if audio is not None and engine.family is not None:
        audio = audio[: _samples(engine.family.longest_sound)]
    return Request(
        key=key_of(row_id, condition.name, first),
        prompt=spec.prompt.render(row["question"], row["choices"]),
        audio=audio,
        frames=frames,
        fps=clip.fps,
        n=n,
        # the setting's seed: a forced PEM is compared with the free one on the same draws
        seed=derive_seed(spec.seed, row_id, condition.setting or condition.name) + first,
        sampling=spec.sampling,
        interleaved=spec.interleaved and audio is not None and frames is not None,
        media_id=clip.sha256,
        prefix=condition.prefix,
        system=spec.prompt.system,
    )


def _samples(seconds: float) -> int | None:
    return None if math.isinf(seconds) else int(seconds * SAMPLE_RATE)
