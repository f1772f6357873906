"""What the sampling stage asks, and how. Knows values; opens nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from avcurate.engines.base import Sampling
from avcurate.media.ablate import Ablation
from avcurate.media.decode import DecodeSpec


@dataclass(frozen=True)
class SampleSpec:
    """What is asked, and how. All of it is part of the stage's identity."""

    prompt: str = "cot@1"
    n: int = 8
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    ablation: Ablation = "drop"
    interleaved: bool = False
    early_exit: bool = True
    tau_acc: float = 0.75
    media: DecodeSpec = field(default_factory=DecodeSpec)
