"""The mask, one row at a time, during decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from avcurate.maam.mask import Scope, maam_row
from avcurate.maam.traces import Transcript, find_traces


class MaskRows:
    """Rows of the mask for a batch of responses, as they are decoded.

    Args:
        audio: bool (R, P), the modality's own tokens in the prompts, padded on the left; video: bool (R, P).
        decode: text of token ids.
        scope: which query tokens of a part the rule applies to.
        layered: turns a mask into what the decoder's layers take.
    """

    def __init__(
        self,
        audio: Tensor,
        video: Tensor,
        decode: Callable[[Sequence[int]], str],
        scope: Scope,
        layered: Callable[[Tensor], Any] = lambda mask: mask,
    ) -> None:
        self._audio, self._video, self._scope, self._layered = audio, video, scope, layered
        self._written = [Transcript(decode) for _ in range(len(audio))]

    def row(self, live: list[int], tokens: list[int], mask: Tensor) -> Any:
        """Which keys the newest tokens read.

        Args:
            live: the responses still being decoded; tokens: the newest token of each.
            mask: (len(live), L), 1 on all but padding, the newest token included.

        Returns:
            bool (len(live), 1, 1, L), layered.
        """
        first, length = self._audio.shape[1], mask.shape[1]
        rows = []
        for i, token in zip(live, tokens, strict=True):
            written = self._written[i]
            written.add(token)
            traces = find_traces(written.text, written.ends, first, complete=False).traces
            pad = (0, length - first)
            audio, video = (torch.nn.functional.pad(x[i], pad) for x in (self._audio, self._video))
            rows.append(maam_row(length - 1, traces, audio, video, scope=self._scope))
        return self._layered((torch.stack(rows) & mask.bool())[:, None, None])
