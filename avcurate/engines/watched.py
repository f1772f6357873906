"""The in-process engine's model, read and cut from inside: what probes and knockouts need of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from avcurate.attention.cut import Rule
from avcurate.attention.function import switch_on
from avcurate.attention.locate import prompt_kinds
from avcurate.attention.plan import Plan
from avcurate.engines.base import Request
from avcurate.maam.attention import refuse_attention

if TYPE_CHECKING:
    from torch import Tensor

    from avcurate.families.tokens import MediaTokens


class InProcess(Protocol):
    """What of the engine is needed here."""

    model: Any
    processor: Any
    tokens: MediaTokens

    @property
    def text_config(self) -> Any:
        """Configuration of the text decoder."""


def watch(engine: InProcess) -> None:
    """Run the text decoder through the attention function that reads, cuts and edits.

    Raises:
        UserError: the decoder runs through an attention that it cannot stand in for.
    """
    refuse_attention(engine.text_config._attn_implementation)
    switch_on(engine.model)


def kinds_of(engine: InProcess, batch: list[Request], ids: Tensor, mask: Tensor) -> Tensor:
    """Kinds of the prompts' tokens, int64 (B, P); see :mod:`avcurate.attention.kinds`."""

    def text(token_ids: Sequence[int]) -> str:
        return str(engine.processor.tokenizer.decode(list(token_ids), skip_special_tokens=False))

    return prompt_kinds(ids, mask, engine.tokens, [(r.prompt, r.prefix, text) for r in batch])


def plan_of(engine: InProcess, batch: list[Request], ids: Tensor, mask: Tensor, cuts: Sequence[Rule]) -> Plan | None:
    """The plan of prompts (B, P) under cuts; ``None`` without any."""
    return Plan(kinds_of(engine, batch, ids, mask), cuts) if cuts else None
