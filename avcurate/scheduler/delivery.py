"""Whether the media that were sent are those that the model received, by their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avcurate.engines.base import Engine, Reply, Request
from avcurate.errors import RowError

HINT = "Run `avcurate doctor`: an engine that loses a modality cannot be used for labels."


def refuse_undelivered(
    engine: Engine, request: Request, reply: Reply, what: str, before: Mapping[str, Mapping[str, Any]]
) -> None:
    """Compare received media tokens with what was sent, with what it must cost, and with other conditions of the clip.

    Args:
        before: received token counts of the clip's other conditions, by their name.

    Raises:
        RowError: ``modality_not_delivered``.
    """
    if reply.audio_tokens < 0 and reply.video_tokens < 0:
        return
    expected = engine.expected_tokens(request)
    for i, (name, media, received) in enumerate(
        (("audio", request.audio, reply.audio_tokens), ("video", request.frames, reply.video_tokens))
    ):
        if received < 0:
            continue
        if (media is not None) != (received > 0):
            sent = "sent" if media is not None else "not sent"
            _refuse(f"{what}: the {name} was {sent}, yet {received} {name} tokens were received.")
        if expected is not None and received != expected[i]:
            _refuse(f"{what}: {received} {name} tokens were received, {expected[i]} were sent.")
        for other, counts in before.items():
            other_count = counts.get(f"{name}_tokens") or 0
            if received > 0 and other_count > 0 and other_count != received:
                _refuse(f"{what}: {received} {name} tokens were received, {other_count} under {other}.")


def _refuse(message: str) -> None:
    raise RowError("modality_not_delivered", message, HINT)
