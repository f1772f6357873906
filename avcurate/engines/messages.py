"""The content of a user message, in order: picture, sound, question."""

from __future__ import annotations

from typing import Any

from avcurate.engines.base import Request

Message = dict[str, Any]


def messages_of(request: Request) -> list[Message]:
    """Chat messages of a request; media first and text last, no system prompt unless asked for (Qwen3-Omni's advice).

    An interleaved request has only a video item; the processor puts the audio inside it.
    """
    content: list[dict[str, str]] = []
    if request.frames is not None:
        content.append({"type": "video"})
    if request.audio is not None and not request.interleaved:
        content.append({"type": "audio"})
    content.append({"type": "text", "text": request.prompt})
    return [*system_of(request), {"role": "user", "content": content}]


def system_of(request: Request) -> list[Message]:
    """The system message, if there is one."""
    return [{"role": "system", "content": request.system}] if request.system else []
