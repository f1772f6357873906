"""Options of the probes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from avcurate.recipe import Flag, MediaSpec, ModelSpec, PromptField, SamplingSpec
from avcurate.tasks.asking import AskRecipe, QuestionInput

Modality = Literal["audio", "video", "both"]
CONDITIONS = "Comma-separated, from a,v,av,av+Audio,av+Visual,av+Audio-Visual."


class ProbeInput(QuestionInput):
    """Questions on clips, optionally swapped ones, and another run of the same probe to compare with."""

    swapped: Annotated[Path | None, Flag("--swapped")] = Field(
        None, description="A run of `avcurate swap` whose clips replace the originals."
    )
    against: Annotated[Path | None, Flag("--against")] = Field(
        None, description="Another run of this probe to compare with, question by question."
    )


class ProbeRecipe(AskRecipe):
    """What all probes share: questions, a model in process, and how it answers before it is read."""

    input: ProbeInput = ProbeInput()
    prompt: Annotated[
        PromptField, Flag("--prompt", help="Prompt by name (`avcurate prompt ls`), or your own .yaml file.")
    ] = Field("cot@1", description="Prompt by name, or your own as fields or a .yaml file.")
    n: Literal[1] = Field(1, description="One response per condition is read.")
    conditions: Annotated[tuple[str, ...], Flag("--conditions", help=CONDITIONS)] = Field(
        ("a", "v", "av"), description="What the model is shown."
    )
    variant: Annotated[Literal["counterfactual", "factual", "silent"], Flag("--variant")] = Field(
        "counterfactual", description="Which clips of --swapped to use."
    )
    model: ModelSpec = ModelSpec(engine="transformers", model="embedded")
    sampling: SamplingSpec = SamplingSpec(temperature=0.0, max_tokens=256)
    media: MediaSpec = MediaSpec(max_frames=32, max_pixels=50176, max_seconds=60)

    @field_validator("conditions", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split(value)


def split(value: object) -> object:
    """Words separated by commas, in one string or several."""
    words = [value] if isinstance(value, str) else value
    if isinstance(words, (list, tuple)) and all(isinstance(w, str) for w in words):
        return tuple(c.strip() for w in words for c in w.split(",") if c.strip())
    return value


class AttentionRecipe(ProbeRecipe):
    """A ``probe attention`` run."""

    kind: Literal["probe-attention"] = "probe-attention"
    last: Annotated[int, Flag("--last")] = Field(
        5, ge=1, description="Last layers averaged for the mass over position (MAPO: 5)."
    )
    fusion_layers: Annotated[int, Flag("--fusion-layers")] = Field(
        16, ge=1, description="Last layers averaged for the share of both descriptions during <sum> (SFFL: 16)."
    )


class KnockoutRecipe(ProbeRecipe):
    """A ``probe knockout`` run."""

    kind: Literal["probe-knockout"] = "probe-knockout"
    conditions: Annotated[tuple[str, ...], Flag("--conditions", help=CONDITIONS)] = ("av",)
    cuts: Annotated[
        tuple[str, ...],
        Flag(
            "--cuts",
            help="Comma-separated QUERY->KEYS, of template, query, audio, video, generated, response, text, all, rest.",
        ),
    ] = Field(
        ("response->audio", "response->video", "rest->audio", "rest->video"),
        min_length=1,
        description="Who no longer reads whom; `rest` is everything but the keys themselves.",
    )
    window: Annotated[int, Flag("--window")] = Field(
        0, ge=0, description="Layers cut at a time; 0: all, or those that the cuts name."
    )
    step: Annotated[int, Flag("--step")] = Field(1, ge=1, description="Layers from one window to the next.")

    @field_validator("cuts", mode="before")
    @classmethod
    def _split_cuts(cls, value: object) -> object:
        return split(value)


class LensRecipe(ProbeRecipe):
    """A ``probe lens`` run."""

    kind: Literal["probe-lens"] = "probe-lens"
    concepts: Annotated[Path | None, Flag("--concepts")] = Field(
        None,
        description="Table with video_id, audio and video: words for what is heard and seen in each clip; "
        "objects.jsonl of `avcurate objects` will do. Without it the concept is the right answer.",
    )
    top: Annotated[int, Flag("--top")] = Field(5, ge=1, le=100, description="Likeliest tokens looked at.")
    norm: Annotated[bool, Flag("--norm/--raw")] = Field(
        True, description="Apply the final norm before the output head; see/hear's released lens does not."
    )


class ShiftRecipe(ProbeRecipe):
    """A ``probe shift`` run."""

    kind: Literal["probe-shift"] = "probe-shift"
    conditions: Annotated[tuple[str, ...], Flag("--conditions", help=CONDITIONS)] = ("av",)
    base: Annotated[str, Flag("--base")] = Field(
        "without-audio",
        description="without-audio, without-video, without-both (the same model), or a checkpoint, e.g. from before "
        "a training; a text model reads the question alone.",
    )


class EntropyRecipe(ProbeRecipe):
    """A ``probe entropy`` run."""

    kind: Literal["probe-entropy"] = "probe-entropy"
    conditions: Annotated[tuple[str, ...], Flag("--conditions", help=CONDITIONS)] = ("av",)
    without: Annotated[Modality, Flag("--without")] = Field(
        "audio", description="Modality whose absence the entropy is compared with."
    )


class PreferenceRecipe(ProbeRecipe):
    """A ``probe preference`` run."""

    kind: Literal["probe-preference"] = "probe-preference"
    conditions: tuple[Literal["a"], Literal["v"], Literal["av"]] = Field(
        ("a", "v", "av"), description="Always audio only, video only and both."
    )


class MaskingRecipe(ProbeRecipe):
    """A ``probe masking`` run."""

    kind: Literal["probe-masking"] = "probe-masking"
    conditions: Annotated[tuple[str, ...], Flag("--conditions", help=CONDITIONS)] = ("av",)
    shares: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Flag("--shares")] = Field(
        (0.05, 0.1, 0.3, 0.5), min_length=1, description="Shares of the sound that are silenced."
    )
    draws: Annotated[int, Flag("--draws")] = Field(5, ge=1, le=100, description="Random choices to compare with.")
    block: Annotated[float, Flag("--block")] = Field(
        0.2, gt=0, description="Seconds of sound that are ranked and silenced together."
    )
    last: Annotated[int, Flag("--last")] = Field(5, ge=1, description="Last layers whose attention ranks the sound.")
    silence: Annotated[Literal["sound", "tokens"], Flag("--silence")] = Field(
        "sound",
        description="sound: samples are set to zero. tokens: the sound stays, but its tokens are not read by others.",
    )
    answering: Annotated[str | None, Flag("--answering")] = Field(
        None, description="Engine that answers once sound is silenced, if it is not the one that is read, e.g. vllm."
    )

    @field_validator("shares", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        words = split(value)
        return tuple(float(w) for w in words) if isinstance(words, tuple) else words
