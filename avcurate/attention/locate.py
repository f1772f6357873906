"""What each token of a sequence is: the array that cuts and readers are functions of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from avcurate.attention.kinds import Kind
from avcurate.families.tokens import MediaTokens
from avcurate.maam.mask import Traces
from avcurate.maam.traces import offsets_of

Decode = Callable[[Sequence[int]], str]
Asked = tuple[str, str, Decode]


def members(kinds: Tensor, group: tuple[Kind, ...]) -> Tensor:
    """Which tokens are of these kinds: bool, like ``kinds``."""
    return torch.isin(kinds, torch.tensor(group, device=kinds.device))


def prompt_kinds(ids: Tensor, mask: Tensor, tokens: MediaTokens, asked: Sequence[Asked]) -> Tensor:
    """Kinds of prompts, padded on the left.

    Args:
        ids: int64 (B, P); mask: (B, P), 0 on padding.
        tokens: the tokenizer's media ids.
        asked: for each prompt the user's text, what its response is made to begin with, and text of token ids with
            special tokens.

    Returns:
        int64 (B, P). The user's text is looked for after the last media token; where the tokenizer has changed it,
        all of what follows the media counts as the user's. What the response begins with is generated.
    """
    kinds = torch.full_like(ids, int(Kind.TEMPLATE))
    for kind, modality in ((Kind.AUDIO, "audio"), (Kind.VIDEO, "video")):
        kinds[tokens.where(ids, modality)] = int(kind)  # type: ignore[arg-type]
    for row, (text, prefix, decode) in enumerate(asked):
        media = (kinds[row] == Kind.AUDIO) | (kinds[row] == Kind.VIDEO)
        first = int(media.nonzero()[-1]) + 1 if media.any() else int(mask[row].argmax())
        written, ends = offsets_of(ids[row, first:].tolist(), decode)
        begin, end = _span(written, ends, text.strip())
        kinds[row, first + begin : first + end] = int(Kind.QUERY)
        start = first + len(ends) - 1
        if prefix and written.endswith(prefix):
            start -= sum(e > len(written) - len(prefix) for e in ends)
            kinds[row, start + 1 :] = int(Kind.GENERATED)
        kinds[row, start] = int(Kind.START)
    return kinds.masked_fill(~mask.bool(), int(Kind.PAD))


def _span(written: str, ends: list[int], text: str) -> tuple[int, int]:
    at = written.rfind(text) if text else -1
    if at < 0:
        return 0, len(ends)
    starts = [0, *ends[:-1]]
    inside = [i for i, (a, b) in enumerate(zip(starts, ends, strict=True)) if b > at and a < at + len(text)]
    return inside[0], inside[-1] + 1


def response_kinds(mask: Tensor) -> Tensor:
    """Kinds of right-padded responses (B, T) whose parts are not told apart."""
    return torch.where(mask.bool(), int(Kind.GENERATED), int(Kind.PAD))


def with_parts(kinds: Tensor, traces: Sequence[Traces], fusions: Sequence[tuple[int, int] | None]) -> Tensor:
    """Kinds of whole sequences with the parts of separate-then-fuse responses told apart, tags included.

    Args:
        kinds: int64 (B, L).
        traces: spans of each response, in positions of the whole sequence.
        fusions: span of each ``<sum>``.
    """
    kinds = kinds.clone()
    for row, (spans, fusion) in enumerate(zip(traces, fusions, strict=True)):
        for kind, span in ((Kind.VISUAL_TRACE, spans.visual), (Kind.AUDIO_TRACE, spans.audio)):
            if span is not None:
                kinds[row, span.open : span.close] = int(kind)
        if fusion is not None:
            kinds[row, fusion[0] : fusion[1]] = int(Kind.FUSION)
    return kinds
