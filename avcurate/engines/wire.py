"""Requests as an OpenAI-compatible vLLM server takes them: frames and sound inside the message.

The decoded frames themselves are sent, not the file: the model is shown exactly what was decoded here,
a dropped modality cannot ride along inside a container, and no server needs our folders.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import wave
import weakref
from collections import OrderedDict
from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.engines.base import Request
from avcurate.engines.messages import system_of
from avcurate.errors import UserError

Frames = NDArray[np.uint8]
KEPT = 16
"""Clips whose text is kept: some 13 MB each as PNG."""


def wav_base64(audio: NDArray[np.float32], sample_rate: int = 16_000) -> str:
    """16-bit mono WAV, base64."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as f:
        f.setnchannels(1)
        f.setsampwidth(2)
        f.setframerate(sample_rate)
        f.writeframes((np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes())
    return base64.b64encode(buffer.getvalue()).decode()


def frames_url(frames: Frames, form: str) -> str:
    """Frames as a ``data:video/jpeg`` list, which vLLM reads frame by frame; ``PNG`` is lossless."""
    return "data:video/jpeg;base64," + ",".join(_encoded(frames, form))


class Encoder:
    """Frames as text, the latest clips' kept: a clip is asked about under several settings, and in waves.

    Args:
        form: ``PNG`` or ``JPEG``.
    """

    def __init__(self, form: str) -> None:
        self.form = form
        # by identity, while the array lives
        self._kept: OrderedDict[int, tuple[weakref.ref[Frames], str, str]] = OrderedDict()
        self._lock = threading.Lock()

    def video(self, frames: Frames) -> tuple[str, str]:
        """The data URL of some frames, and a digest of what they show."""
        with self._lock:
            kept = self._kept.get(id(frames))
        if kept is not None and kept[0]() is frames:
            return kept[1], kept[2]
        url = frames_url(frames, self.form)
        digest = hashlib.sha256(f"{frames.shape} {self.form}".encode() + frames.tobytes()).hexdigest()[:32]
        with self._lock:
            self._kept[id(frames)] = (weakref.ref(frames), url, digest)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return url, digest


def without_sent(body: dict[str, Any], sent: Container[str]) -> dict[str, Any]:
    """The body with media that a server holds named by their digest alone."""

    def thin(part: dict[str, Any]) -> dict[str, Any]:
        return part | {"video_url": None} if part.get("uuid") in sent else part

    def thinner(message: dict[str, Any]) -> dict[str, Any]:
        content = message["content"]
        return message | {"content": [thin(p) for p in content]} if isinstance(content, list) else message

    return body | {"messages": [thinner(m) for m in body["messages"]]}


def media_of(body: dict[str, Any]) -> list[str]:
    """Digests of the media in a body."""
    contents = [m["content"] for m in body["messages"] if isinstance(m["content"], list)]
    return [p["uuid"] for parts in contents for p in parts if "uuid" in p]


def image_urls(frames: Frames, form: str) -> list[str]:
    """Each frame as a ``data:image`` URL."""
    return [f"data:image/{form.lower()};base64,{data}" for data in _encoded(frames, form)]


def _encoded(frames: Frames, form: str) -> list[str]:
    """Each frame as a file of that format, base64."""
    try:
        from PIL import Image
    except ImportError:
        raise UserError("the server engine needs Pillow.", "Install it: pip install 'avcurate[server]'.") from None
    parts = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, form, **({"quality": 95} if form == "JPEG" else {"compress_level": 1}))
        parts.append(base64.b64encode(buffer.getvalue()).decode())
    return parts


def body_of(
    request: Request,
    model: str,
    encoder: Encoder,
    arguments: dict[str, Any],
    logprobs: int | None = None,
    *,
    named: bool = False,
) -> dict[str, Any]:
    """The JSON body of ``/chat/completions``.

    Args:
        arguments: those of the processor for frames.
        named: give the frames a digest as ``uuid``, by which vLLM keeps them.
    """
    content: list[dict[str, Any]] = []
    if request.frames is not None:
        url, digest = encoder.video(request.frames)
        content.append({"type": "video_url", "video_url": {"url": url}} | ({"uuid": digest} if named else {}))
    if request.audio is not None:
        sound = {"data": wav_base64(request.audio), "format": "wav"}
        content.append({"type": "input_audio", "input_audio": sound})
    content.append({"type": "text", "text": request.prompt})
    s = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [*system_of(request), {"role": "user", "content": content}],
        "n": request.n,
        "seed": request.seed,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "top_k": s.top_k or -1,
        "max_tokens": s.max_tokens,
    }
    if request.prefix:
        body["messages"].append({"role": "assistant", "content": request.prefix})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if request.schema:
        json_schema = {"name": "answer", "schema": json.loads(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    if request.frames is not None:
        body["media_io_kwargs"] = {"video": {"num_frames": -1, "fps": request.fps}}
        body["mm_processor_kwargs"] = arguments
    if top := logprobs or s.first_logprobs:
        body |= {"logprobs": True, "top_logprobs": top}
    return body
