"""A prompt without a modality: its tokens taken out by id, so that the reference reads text and not placeholders.

MAPO's reference "receives only the text prompt" (§3.3). Dropping the features alone would leave a run of placeholder
embeddings for it to read; taking out a span would fail where audio and video interleave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Modality = Literal["audio", "video", "both"]


@dataclass(frozen=True)
class MediaTokens:
    """Token ids of a tokenizer: what stands for a modality, and what encloses it; ``None`` where there is none."""

    audio: int
    video: int
    audio_start: int | None = None
    audio_end: int | None = None
    vision_start: int | None = None
    vision_end: int | None = None

    def of(self, modality: Modality) -> set[int]:
        """Ids that go when the modality goes, its marks included."""
        audio = {self.audio, self.audio_start, self.audio_end}
        video = {self.video, self.vision_start, self.vision_end}
        return {i for i in {"audio": audio, "video": video, "both": audio | video}[modality] if i is not None}

    def pads(self, modality: Modality) -> set[int]:
        """Ids of the modality's own tokens, without its marks: the keys that attention mass is counted over."""
        return {"audio": {self.audio}, "video": {self.video}, "both": {self.audio, self.video}}[modality]


def without(ids: Tensor, mask: Tensor, tokens: MediaTokens, modality: Modality, pad: int) -> tuple[Tensor, Tensor]:
    """Sequences with a modality's tokens taken out, padded on the left again.

    Args:
        ids: int64 (B, L); mask: (B, L), 1 on tokens.
        tokens: the tokenizer's media tokens.
        modality: which goes.
        pad: id of padding.

    Returns:
        int64 (B, L') and int64 (B, L'), L' the longest that is left. Order is kept; positions are the caller's to
        derive anew, since time positions of what stays do not depend on what went.
    """
    gone = torch.isin(ids, torch.tensor(sorted(tokens.of(modality)), device=ids.device))
    keep = mask.bool() & ~gone
    lengths = keep.sum(1)
    longest = int(lengths.max()) if len(lengths) else 0
    out = ids.new_full((len(ids), longest), pad)
    kept_mask = ids.new_zeros((len(ids), longest))
    for row in range(len(ids)):
        n = int(lengths[row])
        if n:
            out[row, longest - n :] = ids[row, keep[row]]
            kept_mask[row, longest - n :] = 1
    return out, kept_mask


def media_keys(ids: Tensor, tokens: MediaTokens, modality: Modality) -> Tensor:
    """Where the modality's own tokens are: bool (B, L)."""
    return torch.isin(ids, torch.tensor(sorted(tokens.pads(modality)), device=ids.device))
