"""What each setting shows of a clip: the other modality dropped, or zeroed with the same token count."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from avcurate.media.decode import DecodedClip
from avcurate.schema import Setting

Ablation = Literal["drop", "zero"]


def show(
    clip: DecodedClip, setting: Setting | None, ablation: Ablation
) -> tuple[NDArray[np.float32] | None, NDArray[np.uint8] | None]:
    """(audio, frames) of a clip under a setting.

    ``drop`` leaves the other modality out (SFFL §3.1); ``zero`` sends silence or black frames of the
    same shape, so that token counts do not change (crossmodal-hub). Without a setting nothing is shown.
    """
    if setting is None:
        return None, None
    audio, frames = clip.audio, clip.frames
    if ablation == "drop":
        return (audio if setting.audio else None), (frames if setting.video else None)
    if not setting.audio and audio is not None:
        audio = np.zeros_like(audio)
    if not setting.video and frames is not None:
        frames = np.zeros_like(frames)
    return audio, frames
