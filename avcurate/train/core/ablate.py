"""A prompt without a modality: its tokens are removed by id, so that the reference reads text, not placeholders.

MAPO's reference "receives only the text prompt" (§3.3). Dropping the features alone would leave it a run of placeholder
embeddings; removing a span would fail where audio and video interleave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Modality = Literal["audio", "video", "both"]


@dataclass(frozen=True)
class MediaTokens:
    """A tokenizer's media token ids: placeholders, and the markers around them; ``None`` where there is none."""

    audio: int
    video: int
    audio_start: int | None = None
    audio_end: int | None = None
    vision_start: int | None = None
    vision_end: int | None = None

    def of(self, modality: Modality) -> set[int]:
        """Ids removed with the modality, markers included."""
        audio = {self.audio, self.audio_start, self.audio_end}
        video = {self.video, self.vision_start, self.vision_end}
        return {i for i in {"audio": audio, "video": video, "both": audio | video}[modality] if i is not None}

    def pads(self, modality: Modality) -> set[int]:
        """Ids of the modality's placeholders, without markers: the keys that attention mass is summed over."""
        return {"audio": {self.audio}, "video": {self.video}, "both": {self.audio, self.video}}[modality]


def without(ids: Tensor, mask: Tensor, tokens: MediaTokens, modality: Modality, pad: int) -> tuple[Tensor, Tensor]:
    """Remove a modality's tokens from sequences and left-pad them again.

    Args:
        ids: int64 (B, L); mask: (B, L), 1 on tokens.
        tokens: the tokenizer's media tokens.
        modality: the one to remove.
        pad: the padding id.

    Returns:
        int64 (B, L') and int64 (B, L'), L' the longest remaining. Order is kept; the caller recomputes
        positions, since time positions of the remaining tokens do not depend on the removed ones.
    """
    removed = torch.isin(ids, torch.tensor(sorted(tokens.of(modality)), device=ids.device))
    keep = mask.bool() & ~removed
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
