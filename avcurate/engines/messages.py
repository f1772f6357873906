"""The content of a user message, in order: picture, sound, question."""

from __future__ import annotations

from avcurate.engines.base import Request

Message = dict[str, object]


def messages_of(request: Request) -> list[Message]:
    """Chat messages of a request; media first and text last, no system prompt (Qwen3-Omni's advice).

    An interleaved request has only a video item; the processor puts the audio inside it.
    """
    content: list[dict[str, str]] = []
    if request.frames is not None:
        content.append({"type": "video"})
    if request.audio is not None and not request.interleaved:
        content.append({"type": "audio"})
    content.append({"type": "text", "text": request.prompt})
    return [{"role": "user", "content": content}]
