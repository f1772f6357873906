"""What a model's family can be shown; a run that asks for more is refused before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from avcurate.engines.base import Engine
from avcurate.errors import UserError
from avcurate.media.decode import CODEC_PADDING, SAMPLE_RATE, DecodedClip, DecodeSpec
from avcurate.recipe import MediaSpec
from avcurate.scheduler.spec import AskSpec, OverLimit
from avcurate.schema import Setting


def refuse_inability(engine: Engine, settings: Iterable[Setting], spec: AskSpec) -> None:
    """Refuse settings or a layout that the model's family cannot take.

    Raises:
        UserError: it cannot; the message says what the family can.
    """
    family, settings = engine.family, list(settings)
    if family is None:
        return
    for can, needed, verb, what in (
        (family.hears, [s for s in settings if s.audio], "hear", "sound"),
        (family.sees, [s for s in settings if s.video], "see", "a picture"),
    ):
        if needed and not can:
            raise UserError(
                f"{family.about} cannot {verb}, and {', '.join(dict.fromkeys(needed))} would show it {what}.",
                "Name an omni model with --model; what this one takes can be asked with `avcurate eval --conditions`.",
            )
    if spec.interleaved and not family.interleaves:
        raise UserError(
            f"{family.about} takes sound and picture one after the other only.",
            "Leave --interleaved out; --set layout=separate.",
        )
    if spec.ablation == "zero" and not (family.hears and family.sees):
        raise UserError(f"{family.about} takes one modality: there is no other to zero.", "Leave --zero out.")


def decode_spec(engine: Engine, spec: AskSpec) -> DecodeSpec:
    """How clips are decoded for this model: cut at its family's limit where the recipe says so."""
    return _cut(engine, spec.media, spec.over_limit)


def within_limit(engine: Engine, media: MediaSpec) -> DecodeSpec:
    """The same, from a recipe's section."""
    return _cut(engine, media.decoding(), media.over_limit)


def _cut(engine: Engine, media: DecodeSpec, over_limit: OverLimit) -> DecodeSpec:
    if engine.family is None or over_limit != "cut":
        return media
    return replace(media, max_seconds=min(media.max_seconds, engine.family.longest_sound))


def over_limit(engine: Engine, clip: DecodedClip) -> float:
    """Seconds of a clip's sound that would not reach the model; 0 where all of it does."""
    if engine.family is None or clip.audio is None:
        return 0.0
    over = len(clip.audio) / SAMPLE_RATE - engine.family.longest_sound
    return over if over > CODEC_PADDING else 0.0
