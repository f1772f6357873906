"""Which guided decoder, and with what values. Needs no torch.

Values are the authors'; where a paper and its release differ, both are decoders of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avcurate.errors import UserError

_SINKS = {"alpha": 0.6, "divide": 3.0, "tau": 0.0}
_RELEASED = {"strength": 0.5, "most": 0.6, "gate": 0.6, "text": 0.4, "fade": 0.2, "momentum": 0.5}
DECODERS: dict[str, tuple[str, dict[str, float]]] = {
    "vcd": (
        "contrast with the clip under diffusion noise (arXiv 2311.16922)",
        {"alpha": 1.0, "beta": 0.1, "noise": 500.0},
    ),
    "pai": (
        "attention to media raised, contrast with the question alone (arXiv 2407.21771)",
        {"alpha": 0.2, "gamma": 1.1, "beta": 0.1, "first": 2.0},
    ),
    "avcd": (
        "contrast with passes that do not read the most read tokens of the two weaker modalities (arXiv 2505.20862)",
        {"alpha": 0.5, "beta": 0.2, "gate": 0.6, "share": 0.5},
    ),
    "fmd": (
        "sound and picture read apart in the first layers, then merged (arXiv 2505.20873; its weights are ours)",
        {"fork": 0.2, "audio": 0.5, "strength": 1.0},
    ),
    "asd": ("adaptive sink-guided decoding by the paper's Eq. 6 to 9 (arXiv 2605.10815)", _SINKS),
    "asd-released": ("the same with the gates and momentum of its release", _SINKS | _RELEASED),
    "reverse-asd": ("the paper's ablation: uni-modal sinks raised, cross-modal ones lowered", _SINKS),
}
EDITING = frozenset(DECODERS) - {"vcd"}


@dataclass(frozen=True)
class Guidance:
    """A decoder and its values."""

    name: str
    values: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, name: str, values: Mapping[str, float]) -> Guidance:
        """The decoder of that name.

        Raises:
            UserError: there is none, or it has no such value.
        """
        if name not in DECODERS:
            raise UserError(f"there is no decoder {name!r}.", f"Decoders are: {', '.join(DECODERS)}.")
        own = DECODERS[name][1]
        unknown = [k for k in values if k not in own]
        if unknown:
            raise UserError(f"decoder {name} has no value {unknown[0]!r}.", f"It has: {', '.join(own)}.")
        return cls(name, tuple((own | {k: float(v) for k, v in values.items()}).items()))

    def __getitem__(self, name: str) -> float:
        return dict(self.values)[name]

    @property
    def edits(self) -> bool:
        """Whether it changes attention, so that the model must run through avcurate's attention function."""
        return self.name in EDITING

    def identity(self) -> dict[str, Any]:
        """As it is stored."""
        return {"name": self.name, **dict(self.values)}
