"""Options of the probes for hubs of both modalities: ``trace`` and ``sinks``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from avcurate.recipe import Flag
from avcurate.tasks.probe.recipe import ProbeInput, ProbeRecipe, split

SETS = ("all", "audio", "video", "text", "sinks", "uni", "cross", "random", "rest")
OBJECT_SETS = ("objects", "seen", "heard")
"""Sets that need --objects: object tokens of both modalities, of the picture, of the sound."""


class HubRecipe(ProbeRecipe):
    """How sinks are identified."""

    conditions: tuple[Literal["av"], ...] = Field(("av",), description="Always both modalities.")
    layout: Annotated[
        Literal["separate", "interleaved"],
        Flag("--interleaved", help="Send audio inside the video item, time-aligned.", sets="interleaved"),
    ] = Field("interleaved", description="Audio inside the video; in the other layout no video token hears anything.")
    dims: Annotated[tuple[int, ...], Flag("--dims", help="Sink dimensions, comma-separated.")] = Field(
        (), description="Sink dimensions; empty: the checkpoint's, if published, else found from the first token."
    )
    tau: Annotated[float | None, Flag("--tau")] = Field(
        None, gt=0, description="Threshold of a sink; null: 25 (Qwen2.5-Omni-7B), 20 (3B), else 0.42 of the greatest."
    )
    divide: Annotated[float, Flag("--divide")] = Field(
        3.0, ge=1, description="The prompt's length over this is how many sinks are kept (the paper's N: 2, 3 or 4)."
    )

    objects: Annotated[Path | None, Flag("--objects")] = Field(
        None,
        description="Where things are seen and heard: a run of `avcurate objects`, or a table with clip, boxes, masks, "
        "seconds.",
    )

    @field_validator("dims", mode="before")
    @classmethod
    def _whole_numbers(cls, value: object) -> object:
        words = split(value)
        return tuple(int(w) for w in words) if isinstance(words, tuple) else words


class SinksInput(ProbeInput):
    """Questions or clips, and what the captions of those clips were found to invent."""

    invented: Annotated[Path | None, Flag("--invented")] = Field(
        None,
        description="A run of `avcurate hallucination` over the same captions, to set attention against.",
    )


class SinksRecipe(HubRecipe):
    """A ``probe sinks`` run."""

    input: SinksInput = SinksInput()
    kind: Literal["probe-sinks"] = "probe-sinks"


class TraceRecipe(HubRecipe):
    """A ``probe trace`` run."""

    kind: Literal["probe-trace"] = "probe-trace"
    corrupt: Annotated[Literal["deciding", "audio", "video", "both"], Flag("--corrupt")] = Field(
        "deciding", description="Modality that is corrupted; deciding: the one that the question's label names."
    )
    how: Annotated[Literal["zero", "noise", "mean"], Flag("--how")] = Field(
        "zero",
        description="zero: silence, black frames. noise: as loud as the sound. mean: embeddings are all their mean.",
    )
    site: Annotated[Literal["input_layernorm", "self_attn", "mlp"], Flag("--site")] = Field(
        "input_layernorm", description="Module whose output is patched; the first is the released code's."
    )
    sets: Annotated[
        tuple[str, ...], Flag("--sets", help=f"Comma-separated, of {', '.join((*SETS, *OBJECT_SETS))}.")
    ] = Field(
        (*SETS, *OBJECT_SETS),
        min_length=1,
        description="Token sets patched; random: as many media tokens as sinks, rest: media tokens that are no sinks. "
        "Without --objects the last three are empty.",
    )
    window: Annotated[int, Flag("--window")] = Field(
        0, ge=0, description="Layers patched at a time, besides all of them (the paper: 10); 0: only all."
    )
    step: Annotated[int, Flag("--step")] = Field(1, ge=1, description="Layers from one window to the next.")
    each: Annotated[int, Flag("--each")] = Field(
        0, ge=0, description="Also patch media tokens in blocks of so many, one block at a time (slow); 0: not."
    )

    @field_validator("sets", mode="before")
    @classmethod
    def _split_sets(cls, value: object) -> object:
        words = split(value)
        if isinstance(words, tuple) and (unknown := [w for w in words if w not in (*SETS, *OBJECT_SETS)]):
            raise ValueError(f"there is no token set {unknown[0]!r}; sets are {', '.join((*SETS, *OBJECT_SETS))}")
        return words
