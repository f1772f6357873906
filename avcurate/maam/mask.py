"""The modality-asymmetric attention mask (SFFL §3.3, Eq. 2-6) of separate-then-fuse responses.

While a response describes the picture (``<v>``) it cannot attend to audio tokens, and while it describes the sound
(``<a>``) neither to video tokens nor to what it wrote about the picture; the rest attends to everything. It is a mask
on the response: prompt tokens still mix modalities in their own states, so what a ``<v>`` token computes may still
change with the audio. It guarantees only which keys a query reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Scope = Literal["inner", "inner+open_tag", "span"]


@dataclass(frozen=True)
class Span:
    """Tokens of one tagged part, as positions in the whole sequence, ends excluded.

    ``open``..``begin`` is the opening tag, ``begin``..``end`` the inside, ``end``..``close`` what completes the
    closing tag: if that is several tokens, all but the last count as inside, so that a prefix and the whole agree.
    Where one token completes both tags, ``begin`` is one past ``end``.
    """

    open: int
    begin: int
    end: int
    close: int


@dataclass(frozen=True)
class Traces:
    """The two single-modality parts of a response; ``None`` where a part is not present (yet)."""

    visual: Span | None = None
    audio: Span | None = None


def queries(span: Span, scope: Scope) -> tuple[int, int]:
    """Query positions that the rule applies to.

    ``inner`` is the paper to the letter. The last token of the opening tag predicts the first inner one, so the default
    includes it; ``span`` includes the closing tag as well. Earlier tokens of an opening tag are read before it is known
    to be one, so no scope has them: decoding and loss would differ.
    """
    first = span.begin if scope == "inner" else max(span.open, span.begin - 1)
    return first, span.close if scope == "span" else span.end


def maam(length: int, traces: Traces, audio: Tensor, video: Tensor, *, scope: Scope = "inner+open_tag") -> Tensor:
    """Which keys each query may read.

    Args:
        length: L, tokens of prompt and response.
        traces: spans of the response.
        audio: bool (L,), the input's audio tokens X_a; video: bool (L,), X_v.
        scope: which query tokens of a part the rule applies to.

    Returns:
        bool (L, L), row = query, True where the key is read: causal (Eq. 2) less Eq. 4 (visual part, audio tokens),
        Eq. 5 (audio part, video tokens) and Eq. 6 (audio part, the whole visual part with its tags).
    """
    allowed = torch.ones(length, length, dtype=torch.bool, device=audio.device).tril()
    for first, last, hidden in _rules(traces, audio, video, scope):
        allowed[first:last] &= ~hidden[:length]
    return allowed


def maam_row(position: int, traces: Traces, audio: Tensor, video: Tensor, *, scope: Scope = "inner+open_tag") -> Tensor:
    """Row ``position`` of :func:`maam`, for decoding one token at a time: bool (position + 1,).

    ``traces`` need only cover what is written so far: an open part's ``end`` and ``close`` are ``position + 1`` or
    later.
    """
    allowed = torch.ones(position + 1, dtype=torch.bool, device=audio.device)
    for first, last, hidden in _rules(traces, audio, video, scope):
        if first <= position < last:
            allowed &= ~hidden[: position + 1]
    return allowed


def _rules(traces: Traces, audio: Tensor, video: Tensor, scope: Scope) -> list[tuple[int, int, Tensor]]:
    """(first query, last query, hidden keys)."""
    rules = []
    if traces.visual is not None:
        rules.append((*queries(traces.visual, scope), audio))
    if traces.audio is not None:
        hidden = video.clone()
        if traces.visual is not None and traces.visual.open < traces.audio.open:
            reach = torch.arange(len(hidden), device=hidden.device)
            hidden |= (reach >= traces.visual.open) & (reach < traces.visual.close)
        rules.append((*queries(traces.audio, scope), hidden))
    return rules
