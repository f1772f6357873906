"""What is asked, and how. Values only; opens nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from avcurate.engines.base import Sampling
from avcurate.media.ablate import Ablation
from avcurate.media.decode import DecodeSpec
from avcurate.prompts import COT, Prompt
from avcurate.schema import PEM, Setting


@dataclass(frozen=True)
class Condition:
    """What is shown (nothing, if ``setting`` is ``None``), and the PEM that a response is made to begin with, if any.

    Forced PEMs are those of SFFL Table 2. ``other``: another clip is shown in place of the question's own.
    """

    name: str
    setting: Setting | None
    pem: PEM | None = None
    other: bool = False

    @property
    def prefix(self) -> str:
        """What the response begins with."""
        return f"<mod>{self.pem}</mod>" if self.pem else ""


TEXT, SHUFFLED = "t", "shuffled"
CONDITIONS: dict[str, Condition] = {
    **{str(s): Condition(str(s), s) for s in Setting},
    TEXT: Condition(TEXT, None),
    SHUFFLED: Condition(SHUFFLED, Setting.AV, other=True),
    **{f"av+{p}": Condition(f"av+{p}", Setting.AV, p) for p in PEM},
}
OverLimit = Literal["filter", "cut"]
"""What happens to a clip whose sound is longer than the model's family takes."""
SETTINGS: tuple[Condition, ...] = tuple(CONDITIONS[str(s)] for s in Setting)


@dataclass(frozen=True)
class AskSpec:
    """How a question is asked under each condition."""

    prompt: Prompt = COT
    n: int = 8
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    ablation: Ablation = "drop"
    interleaved: bool = False
    media: DecodeSpec = field(default_factory=DecodeSpec)
    over_limit: OverLimit = "filter"

    def identity(self) -> dict[str, Any]:
        """All that a response depends on, without the decoder's limits."""
        spec = asdict(self) | {"prompt": self.prompt.name}
        if self.over_limit == "filter":
            del spec["over_limit"]
        limits = ("timeout_s", "memory_mb", "max_bytes")
        spec["media"] = {k: v for k, v in spec["media"].items() if k not in limits}
        return spec
